"""The state of an unfinished training, kept in a file so that a stopped run can go on."""

import time
from pathlib import Path

from common.runtime import checkpoints, distributed
from common.runtime.device import hardware
from common.runtime.errors import InputError

AGAIN = "the same command without --resume"
KEPT = {"step": int, "seconds": float, "history": dict, "sums": dict, "hardware": str}


class State:
    """What an interrupted training needs to go on, in a file beside the checkpoint it will become.

    checkpoint: the final file, ex_1b.pt; the state is ex_1b.resume.pt beside it; None keeps none.
    key: names and values that must be the same for the training to be the same.
    resume: go on from the file.  every_seconds: how often it is written.  Raises InputError when
    there is nothing to resume, when it is another training, or when there is an unfinished training
    that is not to be resumed.
    """

    def __init__(self, checkpoint, key: dict, resume=False, every_seconds=20.0):
        self.path = Path(checkpoint).with_suffix(".resume.pt") if checkpoint else None
        self.key, self.every_seconds = key, every_seconds
        self.step, self.seconds, self.history, self.sums = 0, 0.0, {}, {}
        self.saved, self.saved_step = time.monotonic(), None  # None: nothing written or read yet
        self.content = self._read() if resume else None
        if self.path and not resume and self.path.exists():
            words = "add --resume to go on with it, or delete that file"
            raise InputError(f"{self.path}: an unfinished training; {words}")

    def _read(self):
        if not self.path.is_file():
            raise InputError(f"--resume: no unfinished training {self.path}; leave --resume out")
        needs = {"identity": dict, "weights": dict, "optimizer": dict} | KEPT
        content = checkpoints.load(self.path, "unfinished training", AGAIN, needs)
        for name, now in self.key.items():
            if (was := content["identity"].get(name)) != now:
                raise InputError(f"--resume: {self.path} was begun with {name} = {was}, not {now}")
        return content

    def begin(self, model, optimizer):
        """Take over `model` and `optimizer`, and put what was read into them."""
        self.model, self.optimizer = model, optimizer
        self.hardware = hardware(next(model.parameters()).device)
        if self.content:
            checkpoints.restore(model, self.content, self.path, AGAIN)
            with checkpoints.damage(self.path, AGAIN):
                optimizer.load_state_dict(self.content["optimizer"])
                for parameter, kept in optimizer.state.items():
                    if any(v.dim() and v.shape != parameter.shape for v in kept.values()):
                        raise ValueError("optimizer: of other shapes")
            vars(self).update({name: self.content[name] for name in KEPT})
            self.saved_step = self.step

    def due(self) -> bool:
        """Tell whether it is time to save."""
        return time.monotonic() - self.saved >= self.every_seconds

    def save(self, learning_rates):
        """Write the state, whole, with the unscaled `learning_rates` of the optimiser's groups."""
        if self.path is None or not distributed.is_main():
            return
        for group, lr in zip(self.optimizer.param_groups, learning_rates, strict=True):
            group["lr"] = lr
        content = {name: getattr(self, name) for name in KEPT}
        content |= {"exercise": "unfinished training", "identity": self.key}
        content |= {"weights": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        checkpoints.save(self.path, content)
        self.saved, self.saved_step = time.monotonic(), self.step

    def remove(self):
        """Delete the file: the checkpoint has been written."""
        self.path.unlink(missing_ok=True)
