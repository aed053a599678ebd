"""Turn a dataclass into command-line flags: one field, one flag, one sentence of help.

>>> @dataclass(frozen=True)
... class Settings(Common):
...     epochs: int = option(80, "passes over the training set", minimum=1, smoke=1)
>>> parse(Settings, "train it", ["--epochs", "3"]).epochs
3
"""

import argparse
import dataclasses
import itertools
import math
import os
import sys
from dataclasses import dataclass
from typing import NoReturn

from common.runtime.errors import InputError

UNSET = object()


def option(default, help, *, choices=None, minimum=None, maximum=None, smoke=UNSET, trains=True):
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
        0, "CPU threads; 0 takes the available cores", minimum=0, maximum=1024, trains=False
    )
    data_dir: str = option(
        "", "folder with the data (default: data; MNIST: or the variable MNIST_ROOT)", trains=False
    )
    out_dir: str = option(
        ".", "checkpoints/ and figures/ are written below it", smoke="smoke", trains=False
    )
    smoke: bool = option(False, "tiny sizes, seconds instead of minutes; writes into smoke/")


@dataclass(frozen=True)
class Training(Common):
    """The flags of the trainings that can be resumed."""

    resume: bool = option(False, "go on with the interrupted training", trains=False)
    force: bool = option(False, "overwrite a checkpoint of other settings", trains=False)


@dataclass(frozen=True)
class Drawing(Common):
    """The flags of the scripts that draw from a trained model."""

    model: str = option("", "checkpoint that is read (default: the shipped one)")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        """Write `message` on standard error and leave with exit status 2."""
        line = " ".join(message.split())
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
            sys.stderr.write(f"{self.prog}: error: {line} (--help lists the options)\n")
        sys.exit(2)


def parse(settings_class, description, argv=None, positional=None, without=()):
    """Read `argv` (default: the command line) into an instance of `settings_class`.

    description: text for --help.  positional: (field name, metavar, nargs) of the field that is
    given without a flag, or None.  without: fields that have no flag here, since they would do
    nothing.  Exits with status 2 and one line on bad input.
    """
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields, groups = dataclasses.fields(settings_class), {}
    for kind in settings_class.__mro__[:-1]:  # one group of flags for each class
        for name in vars(kind).get("__annotations__", {}):
            groups.setdefault(name, kind.__doc__.splitlines()[0].rstrip("."))
    titles = {title: parser.add_argument_group(title) for title in groups.values()}
    for field in fields:
        if positional and field.name == positional[0]:
            name, metavar, nargs = positional
            help = field.metadata["help"]
            parser.add_argument(name, metavar=metavar, nargs=nargs, default=UNSET, help=help)
        elif field.name not in without:
            _add_flag(titles[groups[field.name]], field)
    found = vars(parser.parse_args(argv)).items()
    given = {k: _given(v) for k, v in found if v is not UNSET}
    typed = frozenset(given)
    for name in [k for k in typed if given[k] == ""]:
        parser.error(f"--{name.replace('_', '-')}: empty; leave it out for the default")
    for field in fields:
        smoke = field.metadata["smoke"]
        if given.get("smoke") and field.name not in given and smoke is not UNSET:
            given[field.name] = smoke
    try:
        settings = validated(settings_class(**given))
    except InputError as error:
        parser.error(str(error))
    object.__setattr__(settings, "typed", typed)  # no setting: what `no_effect` asks
    return settings


def _given(value):
    """Return what was typed: the numbers of a list together, a path with ~ as the home folder."""
    if isinstance(value, list):
        return tuple(itertools.chain(*(v if isinstance(v, tuple) else [v] for v in value)))
    return os.path.expanduser(value) if isinstance(value, str) else value


def _numbers(text: str) -> tuple:
    """Return the numbers in `text`, which commas may divide."""
    return tuple(float(word) for word in text.rstrip(",").split(","))


_numbers.__name__ = "number"  # argparse names it in its error


def no_effect(settings, names: str, why: str) -> None:
    """Raise InputError if one of the fields `names` was given: it would do nothing, `why`.

    Of settings that no command line gave, those that differ from their defaults count as given.
    """
    for field in dataclasses.fields(settings):
        usual = (field.default, field.metadata["smoke"] if settings.smoke else field.default)
        other = getattr(settings, field.name) not in usual
        given = field.name in settings.typed if hasattr(settings, "typed") else other
        if field.name in names.split() and given:
            raise InputError(f"--{field.name.replace('_', '-')} has no effect {why}")


def _add_flag(parser, field):
    flag, details = "--" + field.name.replace("_", "-"), field.metadata
    help = details["help"].replace("%", "%%")
    if field.type is bool:
        kind = {"action": "store_true"}
    elif field.type is tuple:  # of numbers
        kind = {"nargs": "+", "type": _numbers, "metavar": "NUMBER"}
        help += f" (default: {' '.join(f'{v:g}' for v in field.default)})" if field.default else ""
    else:
        metavar = (
            None
            if details["choices"]
            else {"str": "TEXT", "int": "N"}.get(field.type.__name__, "NUMBER")
        )
        kind = {"type": field.type, "choices": details["choices"], "metavar": metavar}
        own = field.default in ("", None) or "default: " in help
        help += "" if own else f" (default: {field.default})"
    parser.add_argument(flag, default=UNSET, help=help, **kind)


def validated(settings):
    """Return `settings` if every number is finite and in its range, else raise InputError."""
    for field in dataclasses.fields(settings):
        value, details = getattr(settings, field.name), field.metadata
        flag = "--" + field.name.replace("_", "-")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"{flag} {number}: must be finite")
        if details["minimum"] is not None and value < details["minimum"]:
            raise InputError(f"{flag} {value}: must be at least {details['minimum']}")
        if details["maximum"] is not None and value > details["maximum"]:
            raise InputError(f"{flag} {value}: must be at most {details['maximum']}")
    return settings


def resume_key(settings, **more) -> dict:
    """Return what makes two trainings the same: settings that train, and `more`."""
    fields = dataclasses.fields(settings)
    return {f.name: getattr(settings, f.name) for f in fields if f.metadata["trains"]} | more
