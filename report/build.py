"""Compile the report: report/solutions.typ, with the files of figures/, to solutions.pdf.

    python -m report.build                    -> solutions.pdf
    python -m report.build --out-dir mine     -> mine/solutions.pdf, of mine/figures/ if there is
                                                 something: tables and pictures, no verdicts

The text takes its numbers from the JSON that the scripts wrote.  The same inputs give the same
bytes, wherever it is run: fonts are those of the typst package, and the date is the one in
solutions.typ.  Takes seconds.
"""

import glob
import re
import shutil
import tempfile
from pathlib import Path

from common.runtime import files, results, script
from common.runtime.errors import InputError
from common.runtime.options import Common, parse

import typst

NAME, TEXT = "solutions.pdf", files.ROOT / "report"
DATE = 1_795_305_600  # 2026-11-22, seconds since 1970: of nothing but the PDF's own stamp


def needed() -> list[str]:
    """List the files below figures/ that the text names, sorted."""
    named = [path for path in TEXT.glob("*.typ") if path.name != "own.typ"]
    texts = [path.read_text(encoding="utf-8") for path in named]
    return sorted({name for text in texts for name in re.findall(r'"/(figures/[\w.]+)"', text)})


def gather(folder: Path, out_dir: str) -> str:
    """Copy a text and the files it names into `folder`; return the text's name.

    Where `out_dir` has figures of its own, they are all that is shown: the words about the shipped
    results would not be true of them.  Raises InputError for a missing file.
    """
    shutil.copytree(TEXT, folder / "report", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "figures").mkdir()
    own = Path(out_dir) / "figures"
    if Path(out_dir).resolve() != files.ROOT and own.exists():
        index, paths = [], sorted(own.glob("*.json"))
        for path in paths:
            found, drawn = results.read_json(path), pictures_of(path, paths)
            for picture in drawn:
                shutil.copy(picture, folder / "figures")
            rows = [[key, f"{value:.6g}"] for key, value in results.numbers(found).items()]
            index.append({"name": path.stem, "source": str(found.get("source", "")), "rows": rows,
                          "drawn": [picture.name for picture in drawn]})  # fmt: skip
        results.save_json(folder / "figures/index.json", {"results": index})
        return "own.typ"
    for name in needed():
        if not (files.ROOT / name).is_file():
            raise InputError(f"no {name}: `make train` and `make bench` make it")
        shutil.copy(files.ROOT / name, folder / "figures")
    return "solutions.typ"


def pictures_of(path: Path, others: list) -> list:
    """Return the pictures beside the JSON `path`: named after it, and after no longer one."""
    longer = tuple(o.stem for o in others if o != path and o.stem.startswith(path.stem))
    near = sorted(path.parent.glob(f"{glob.escape(path.stem)}*.png"))
    return [picture for picture in near if not picture.stem.startswith(longer)]


def compiled(out_dir: str = ".") -> bytes:
    """Return the report as PDF; see `gather` for `out_dir` and what is refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            main = folder / "report" / gather(folder, out_dir)
            compiler = typst.Compiler(main, root=folder, ignore_system_fonts=True)
            return compiler.compile(format="pdf", timestamp=DATE)
        except OSError as error:  # shutil.Error has no reason of its own
            what = f"cannot gather the report: {error}"
        except typst.TypstError as error:
            found = re.sub(rf"\S*{folder.name}/?", "", str(error.diagnostic or error))
            what = f"the report does not compile: {found}"
        raise InputError(" ".join(what.split())[:300])


def main(argv=None) -> dict:
    """Compile the report and write it, whole."""
    settings = parse(Common, __doc__, argv, without=("seed", "device", "data_dir"))
    content = compiled(settings.out_dir)
    path = Path(settings.out_dir) / NAME
    print(files.atomic_write(path, lambda temporary: temporary.write_bytes(content)))
    return {"file": str(path), "bytes": len(content)}


if __name__ == "__main__":
    script.run(main)
