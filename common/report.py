"""Compile the report: solutions.typ, with the numbers and pictures of figures/, to solutions.pdf.

    python -m common.report                    -> solutions.pdf
    python -m common.report --out-dir mine     -> mine/solutions.pdf, of mine/figures/ where it has
                                                  them, of the shipped ones where not

Refuses, with exit status 2, when a file that the text names is missing, or when a JSON speaks of
another checkpoint than the one that is there.  The same inputs give the same bytes, wherever it is
run: fonts are those of the typst package, and the date is the one in solutions.typ.
Takes seconds.
"""

import contextlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import typst

from common import artifacts, files, runtime
from common.settings import Common, InputError, parse

NAME = "solutions.pdf"
TEXT = ("solutions.typ", "report")  # what is compiled: a file, and the folder that it includes
# JSONs whose checkpoint has another name than they have
SPEAKS_OF = {"ex_1c": "ex_1b", "ex_2c": "ex_2b", "ex_2d": "ex_2b"}
DATE = 1_795_305_600  # 2026-11-22, seconds since 1970: of nothing but the PDF's own stamp


@dataclass(frozen=True)
class Settings(Common):
    """Where the report is written: --out-dir; the other flags change nothing."""


def needed() -> list[str]:
    """List the files below figures/ that the text names, sorted."""
    texts = [artifacts.ROOT / TEXT[0], *(artifacts.ROOT / TEXT[1]).glob("*.typ")]
    found = set()
    for path in texts:
        found |= set(re.findall(r'"/(figures/[\w.]+)"', path.read_text(encoding="utf-8")))
    return sorted(found)


def recorded(name: str, content: dict) -> dict:
    """Return {checkpoint: SHA-256} of all that the JSON `name` says of checkpoints.

    Nothing for the comparisons (ablations): they speak of models of their own, which are not kept.
    """
    if name.endswith("_ablation"):
        return {}
    pairs = dict(content.get("checkpoints_sha256", {}))
    if "checkpoint_sha256" in content:
        pairs[SPEAKS_OF.get(name, name)] = content["checkpoint_sha256"]
    return pairs


def check(path: Path, out_dir: str) -> None:
    """Raise InputError unless the JSON `path` speaks of the checkpoints that are there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pairs = recorded(path.stem, content)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        script = f"{path.stem[:5]}.py"
        raise InputError(f"{path} is not what {script} writes: run it again") from error
    for name, stamp in pairs.items():
        checkpoint = artifacts.find(f"checkpoints/{name}.pt", out_dir)
        if not checkpoint.is_file():
            raise InputError(f"{path} speaks of {checkpoint}, which is not there")
        if artifacts.sha256(checkpoint) != stamp:
            script = f"{path.stem[:5]}.py"
            raise InputError(f"{path} is of another {checkpoint} than is there: run {script} again")


def gather(folder: Path, out_dir: str) -> None:
    """Copy the text and the files it names into `folder`.

    Raises InputError for a file that is missing or of another checkpoint.
    """
    shutil.copy(artifacts.ROOT / TEXT[0], folder)
    shutil.copytree(artifacts.ROOT / TEXT[1], folder / TEXT[1])
    (folder / "figures").mkdir()
    for name in needed():
        path = artifacts.find(name, out_dir)
        if not path.is_file():
            raise InputError(f"no {name}, which the report needs: run `make train` to make it")
        if path.suffix == ".json":
            check(path, out_dir)
        shutil.copy(path, folder / "figures")


def compiled(out_dir: str = ".") -> bytes:
    """Return the report as PDF; see `gather` for `out_dir` and what is refused."""
    with _folder(Path(out_dir) / NAME) as folder:
        gather(folder, out_dir)
        try:
            compiler = typst.Compiler(folder / TEXT[0], root=folder, ignore_system_fonts=True)
            return compiler.compile(format="pdf", timestamp=DATE)
        except typst.TypstError as error:
            what = re.sub(rf"\S*{folder.name}/?", "", str(error.diagnostic or error))
            what = " ".join(what.split())[:300]
            raise InputError(f"{TEXT[0]} does not compile: {what}") from error


@contextlib.contextmanager
def _folder(path: Path):
    try:
        with files.temporary_folder(path) as folder:
            yield folder
    except OSError as error:  # shutil.Error has no reason of its own
        what = " ".join(str(error).split())[:300]
        raise InputError(f"cannot gather or write {path}: {what}; mend it there") from error


def main(argv=None) -> dict:
    """Compile the report and write it, whole."""
    settings = parse(Settings, __doc__, argv)
    content = compiled(settings.out_dir)
    path = Path(settings.out_dir) / NAME
    print(files.write_whole(path, lambda temporary: temporary.write_bytes(content)))
    return {"file": str(path), "bytes": len(content)}


if __name__ == "__main__":
    runtime.run(main)
