"""Turn a dataclass into command-line flags: one field, one flag, one sentence of help.

>>> @dataclass(frozen=True)
... class Settings(Common):
...     epochs: int = option(80, "passes over the training set", minimum=1, smoke=1)
>>> parse(Settings, "train it", ["--epochs", "3"]).epochs
3
"""

import argparse
import dataclasses
import inspect
import itertools
import math
import os
import sys
from dataclasses import dataclass
from typing import NoReturn

from common.runtime.errors import InputError


def option(default, help, *, choices=None, minimum=None, maximum=None, smoke=None, trains=True):
    """Declare one setting: its default, its help (with the unit), its range, its `--smoke` value.

    `choices` lists the allowed values; `minimum` and `maximum` are inclusive; `smoke` replaces
    the default when `--smoke` is given and the flag itself is not; `trains` tells whether the
    setting changes what is trained.
    """
    details = dict(help=help, choices=choices, minimum=minimum, maximum=maximum)
    return dataclasses.field(default=default, metadata=details | dict(smoke=smoke, trains=trains))


@dataclass(frozen=True)
class Common:
    """The flags that every script has."""

    seed: int = option(0, "seed of every random number", minimum=0, maximum=2**31 - 1)
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps: where to compute", trains=False)
    threads: int = option(
        0, "CPU threads; 0: all; default: $OMP_NUM_THREADS", minimum=0, maximum=1024, trains=False
    )
    data_dir: str = option("", "where the data are (default: data, $MNIST_ROOT)", trains=False)
    out_dir: str = option("out", "where results are written", smoke="smoke", trains=False)
    smoke: bool = option(False, "tiny sizes, seconds instead of minutes; writes into smoke/")


@dataclass(frozen=True)
class Training(Common):
    """The flags of the trainings that can be resumed."""

    resume: bool = option(False, "go on with the interrupted training", trains=False)


@dataclass(frozen=True)
class Drawing(Common):
    """The flags of the scripts that draw from a trained model."""

    model: str = option(
        "", "checkpoint that is read (default: that in --out-dir, else the shipped)"
    )


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        """Write `message` on standard error and leave with exit status 2."""
        line = " ".join(message.split())
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
            sys.stderr.write(f"{self.prog}: error: {line} (--help lists the options)\n")
        sys.exit(2)


def _text(word: str) -> str:
    """Return what was typed, ~ as the home folder."""
    if not word:
        raise argparse.ArgumentTypeError("empty; leave it out for the default")
    return os.path.expanduser(word)


def _numbers(word: str) -> tuple:
    """Return the numbers in `word`, which commas may divide."""
    return tuple(float(number) for number in word.rstrip(",").split(","))


_numbers.__name__ = "number"  # argparse names it in its error
KINDS = {  # type of a field: how argparse reads it
    bool: {"action": "store_true"},
    int: {"type": int, "metavar": "N"},
    float: {"type": float, "metavar": "NUMBER"},
    str: {"type": _text, "metavar": "TEXT"},
    tuple: {"type": _numbers, "metavar": "NUMBER", "nargs": "+"},
}


def parse(settings_class, description, argv=None, positional=None, without=()):
    """Read `argv` (default: the command line) into an instance of `settings_class`.

    description: text for --help.  positional: (field name, metavar, nargs) of the field that is
    given without a flag, or None.  without: fields that have no flag here, since they would do
    nothing.  Exits with status 2 and one line on bad input.
    """
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                    argument_default=argparse.SUPPRESS)  # fmt: skip
    fields = {field.name: field for field in dataclasses.fields(settings_class)}
    flags = {name: field for name, field in fields.items() if name not in without}
    if positional:
        name, metavar, nargs = positional
        help = flags.pop(name).metadata["help"]
        parser.add_argument(name, metavar=metavar, nargs=nargs, type=lambda w: (w,), help=help)
    for kind in settings_class.__mro__[:-1]:  # one group of flags for each class
        group = parser.add_argument_group(kind.__doc__.splitlines()[0].rstrip("."))
        for name in inspect.get_annotations(kind):
            if name in flags:
                _add_flag(group, flags.pop(name))
    typed = vars(parser.parse_args(argv))
    typed = {k: (*itertools.chain(*v),) if isinstance(v, list) else v for k, v in typed.items()}
    smoke = {name: field.metadata["smoke"] for name, field in fields.items()}
    smoke = {k: v for k, v in smoke.items() if v is not None} if typed.get("smoke") else {}
    settings = settings_class(**_usual_threads(fields) | smoke | typed)
    for name, field in fields.items():
        if wrong := _wrong(getattr(settings, name), field.metadata):
            parser.error(f"{_flag(name)} {wrong}")
    object.__setattr__(settings, "typed", frozenset(typed))  # no setting: what `no_effect` asks
    return settings


def _usual_threads(fields) -> dict:
    """Return {"threads": $OMP_NUM_THREADS} where that is set, for scripts that have the flag."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # 4,2: nested loops
    wanted = int(first) if first.isascii() and first.isdigit() else 0
    return {"threads": wanted} if "threads" in fields and 1 <= wanted <= 1024 else {}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_flag(group, field):
    details, kind = field.metadata, KINDS[field.type]
    if details["choices"]:
        kind = kind | {"choices": details["choices"], "metavar": None}
    help = details["help"].replace("%", "%%")
    if field.type is not bool and field.default not in ("", ()) and "default: " not in help:
        numbers = field.default if field.type is tuple else ()
        help += f" (default: {' '.join(f'{v:g}' for v in numbers) or field.default})"
    group.add_argument(_flag(field.name), help=help, **kind)


def _wrong(value, details) -> str:
    """Return what is wrong with a number or numbers, "" if nothing is."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            return f"{number}: must be finite"
    if details["minimum"] is not None and value < details["minimum"]:
        return f"{value}: must be at least {details['minimum']}"
    if details["maximum"] is not None and value > details["maximum"]:
        return f"{value}: must be at most {details['maximum']}"
    return ""


def no_effect(settings, names: str, why: str) -> None:
    """Raise InputError if one of the fields `names` was given: it would do nothing, `why`.

    Of settings that no command line gave, those that differ from their defaults count as given.
    """
    for field in dataclasses.fields(settings):
        usual = (field.default, field.metadata["smoke"] if settings.smoke else field.default)
        other = getattr(settings, field.name) not in usual
        given = field.name in settings.typed if hasattr(settings, "typed") else other
        if field.name in names.split() and given:
            raise InputError(f"{_flag(field.name)} has no effect {why}")


def resume_key(settings, **more) -> dict:
    """Return what makes two trainings the same: settings that train, and `more`."""
    fields = dataclasses.fields(settings)
    return {f.name: getattr(settings, f.name) for f in fields if f.metadata["trains"]} | more
