"""What the exercises share.  Read an exercise's script first; the rest is here.

The methods, in the order to read them:
  cvae           the conditional VAE, the two terms of its ELBO, a tighter bound     1, 2
  priors         p(z|y): standard, a mixture for each class, couplings for a number  1, 2
  networks       encoders and decoders                                               1, 2
  ebm            the log-density network f = -energy and its normaliser Z            3
  langevin       Langevin steps, unadjusted and tested; replica exchange              3
  training       the one loop: schedule, history, resume                             1, 2, 3
  distances      distances between two samples, each once                            1, 2, 3
  plots          what the figures share

The subjects, with the same file names inside (data, evaluation, figures; model but for the roll):
  digits         exercise 1: MNIST, the classifier that reads generated digits
  light_curves   exercise 2: the microlensing simulator, the data set, the model
  swiss_roll     exercise 3: the exact density, the negatives

Infrastructure, to be read last if at all:
  runtime        options, seeds, devices, files, checkpoints, resume, torchrun

Imports go one way: runtime <- methods <- subjects <- scripts <- report, benchmarks; subjects do
not import each other (tests/test_house.py).
"""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _interrupted(signum, frame):
    os.write(2, b"stopped by Ctrl-C\n")
    os._exit(130)


# One line instead of a traceback while a script of the project is still importing.
_script = Path(sys.argv[0]).resolve() if sys.argv and sys.argv[0] else Path()
_places = [ROOT / name for name in ("", "benchmarks", "explorer", "report", "common/light_curves")]
_own = _script.is_file() and _script.parent in _places and "pytest" not in sys.modules
if _own or sys.argv[:1] == ["-m"]:  # "-m" is still there while `python -m common.x` looks for x
    if any(find_spec(name) is None for name in ("torch", "numpy", "joblib", "filelock")):
        sys.stderr.write("packages are missing: run `make`, then `source .venv/bin/activate`\n")
        sys.exit(2)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)  # until common.runtime.script.run
