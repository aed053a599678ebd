"""The assignment's loader: every digit comes back; what is wrong is named with line and cure."""

import gzip
import io
import re
import time

import numpy as np
import pytest
from conftest import HEADER, random_curves

import data_loader
from common.training import InputError


def test_every_digit_comes_back_whatever_the_line_ends_and_the_order_of_columns(folder):
    file = folder / "12345/05.dat"
    labels = folder / "labels.dat"
    plain = file.read_bytes()
    for end in (b"\n", b"\r\n\r\n", b"\r"):
        file.write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", end))
        x, y = data_loader.dataloader(str(folder))
        assert list(x) == list(y) == ["12345_05", "12345_25"]
        np.testing.assert_array_equal(x["12345_05"], random_curves())
        np.testing.assert_array_equal(x["12345_25"], random_curves(1))
        np.testing.assert_array_equal(y["12345_05"], [[0.4, 0.4, 0, 0.195695]] * 3)
        assert x["12345_05"].dtype == y["12345_05"].dtype == np.float64

    text = "\ufeff\r\np\tdisc_id note s g k map_id\r\n\r\n0.195695\t05 x 0 0.3 0.4 12345\r\n\r\n"
    labels.write_bytes(text.encode())
    x, y = data_loader.dataloader(folder)
    assert list(x) == ["12345_05"]
    np.testing.assert_array_equal(y["12345_05"][0], [0.4, 0.3, 0, 0.195695])
    np.testing.assert_array_equal(data_loader.read_curves(file, rows=2), random_curves()[:2])


def test_links_out_of_the_folder_are_followed(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "12345").rename(elsewhere / "curves")
    (folder / "12345").symlink_to(elsewhere / "curves")
    x, _ = data_loader.dataloader(folder)
    np.testing.assert_array_equal(x["12345_05"], random_curves())


def test_a_file_of_2000_curves_is_read_within_seconds(folder):
    curves = np.random.default_rng(0).lognormal(size=(2000, 300))
    np.savetxt(folder / "12345/05.dat", curves, delimiter=",")
    started = time.monotonic()
    x, _ = data_loader.dataloader(folder)
    assert time.monotonic() - started < 5
    np.testing.assert_array_equal(x["12345_05"], curves)


# --- other people's files -----------------------------------------------------------------------


def written(curves, **form) -> str:
    """Return what np.savetxt writes."""
    text = io.StringIO()
    np.savetxt(text, curves, **form)
    return text.getvalue()


MU = random_curves()  # (3, 300)
TIME = np.arange(50.0)
ROW = ",".join(["1"] * 300)
GOOD = f"{ROW}\n"
COMMAS = written(MU, delimiter=",")
CURVES = {  # what people have: (the text, the line, the cause, the cure)
    "header of savetxt": (written(MU, delimiter=",", header="mu"), 1, "a comment", "remove"),
    "footer": (COMMAS + "# end", 4, "comment or header", "remove this line"),
    "names": (",".join(f"t{k}" for k in range(300)) + "\n" + GOOD, 1, r"header \(t0,", "remove"),
    "white space": (written(MU), 1, "300 values with white space", "commas"),
    "tabs": (written(MU, delimiter="\t"), 1, "300 values with white space", "commas"),
    "a curve a column": (written(MU.T, delimiter=","), 1, "300 rows of 3 values", r"curves\.T"),
    "the same, spaces": (written(MU.T), 1, "300 rows of 3 values, a curve a column", r"curves\.T"),
    "one curve, a column": (written(MU[0]), 1, "300 rows of 1 values", r"curves\.T"),
    "Fortran": (COMMAS.replace("e", "D"), 1, "is Fortran's exponent", "replace every D by e"),
    "t, m, dm": (written(np.c_[TIME, TIME, TIME]), 1, r"3 columns.*\(t, m, dm\?\)", r"np\.interp"),
    "time, mu": ("t,mu\n" + written(np.c_[TIME, TIME], delimiter=","), 1, "2 columns", "interp"),
    "semicolons": (written(MU, delimiter=";"), 1, "semicolons between values;", "write commas"),
    "German": (written(MU, delimiter=";").replace(".", ","), 1, "decimal commas", "points within"),
    "decimal commas": (written(MU).replace(".", ","), 1, "decimal commas", "points within"),
    "trailing comma": (f"{GOOD}{ROW},\n", 2, "a comma at the end", "remove it"),
    "too few": (GOOD + "\n" + ROW[2:], 3, "299 values instead of 300", r"np\.interp"),
    "too many": (f"{GOOD}{ROW},1", 2, "301 values instead of 300", r"np\.interp"),
    "other sampling": (written(MU[:, :128], delimiter=","), 1, "128 values instead", "interp"),
    "nan": (f"{GOOD}nan{ROW[1:]}", 2, "value 1, 'nan', is not a finite", "leave the curve out"),
    "inf": (f"{ROW[:-1]}inf", 1, "value 300, 'inf', is not a finite", "leave the curve out"),
    "overflow": (f"{ROW[:-1]}1e999", 1, r"value 300, '1e999', is beyond 1e\+30", "divide"),
    "NA": (f"{GOOD}NA{ROW[1:]}", 2, "value 1, 'NA', is not a finite", "leave the curve out"),
    "empty cell": (f"{ROW[1:]}", 1, "value 1, '', is not a finite", "leave the curve out"),
    "negative": (f"{ROW[:-1]}-1", 1, "value 300, '-1', is negative.*magnitudes", r"10\*\*\(-0\.4"),
    "magnitudes": (written(-MU, delimiter=","), 1, "value 1, .*negative.*magnitudes", "mean"),
    "huge": (f"1e31{ROW[1:]}", 1, r"value 1, '1e31', is beyond 1e\+30", "divide"),
    "a word": (f"{GOOD}1,x{ROW[3:]}", 2, "value 2, 'x', is not a number", "savetxt"),
    "quotes": (f'"1"{ROW[1:]}', 1, "value 1, '\"1\"', is in quotes", "remove them"),
    "complex": (f"1+0j{ROW[1:]}", 1, "value 1, '1\\+0j', is not a number", "savetxt"),
    "empty": ("", 1, "no light curves", "savetxt"),
    "blank": ("\n\n", 1, "no light curves", "savetxt"),
}  # fmt: skip


def complaint(folder) -> str:
    """Return the error for a folder, which is one line."""
    with pytest.raises(ValueError) as error:
        data_loader.dataloader(folder)
    assert isinstance(error.value, InputError)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", CURVES)
def test_curves_of_another_format_are_named_by_line_with_cause_and_cure(folder, name):
    text, line, cause, cure = CURVES[name]
    path = folder / "12345/05.dat"
    path.write_text(text, encoding="utf-8")
    message = complaint(folder)
    assert message.startswith(f"{path}, line {line}: ")
    assert_match(rf"{cause}.*{cure}", message)


def assert_match(pattern, message):
    __tracebackhide__ = True
    assert re.search(pattern, message), message


NPY = io.BytesIO()
np.save(NPY, MU)
FILES = {  # bytes: cause and cure
    "gzip": (gzip.compress(COMMAS.encode()), "line 1: packed by gzip.*gunzip"),
    "npy": (NPY.getvalue(), r"line 1: a binary \.npy file.*np\.savetxt"),
    "zip": (b"PK\x03\x04" + bytes(100), r"line 1: a zip archive.*np\.savetxt"),
    "fits": (b"SIMPLE  =   T" + b" " * 100, r"line 1: a FITS file.*np\.savetxt"),
    "utf-16": (COMMAS.encode("utf-16"), "line 1: text in UTF-16.*save it as UTF-8"),
    "float64": (b"1,2\n" + MU.tobytes(), "line 2: binary, not plain text.*np.savetxt"),
    "nul": (COMMAS.encode() + b"\0", "line 4: binary, not plain text.*np.savetxt"),
}


@pytest.mark.parametrize("name", FILES)
def test_packed_and_binary_files_are_called_so(folder, name):
    content, expected = FILES[name]
    for path in (folder / "12345/05.dat", folder / "labels.dat"):
        path.write_bytes(content)
        message = complaint(folder)
        assert message.startswith(str(path))
        assert_match(expected, message)


def test_missing_files_are_named_and_so_are_those_with_other_names(folder):
    path = folder / "12345/05.dat"
    for other, expected in (("5.dat", "rename"), ("05.csv", "rename"), ("05.dat.gz", "gunzip")):
        path.rename(folder / "12345" / other)
        assert_match(
            rf"05\.dat: there is no such file; {other} is there: .*{expected}", complaint(folder)
        )
        (folder / "12345" / other).rename(path)
    path.unlink()
    assert_match(
        r"05\.dat: there is no such file; copy it there, or remove its row", complaint(folder)
    )
    path.mkdir()
    assert_match(r"05\.dat: Is a directory; give a file", complaint(folder))
    assert_match(
        r"labels\.dat: there is no such file; write it: the header", complaint(folder / "no")
    )


LABELS = {
    "": "line 1: empty; write the header map_id disc_id k g s p",
    HEADER: "line 1: no rows below the header",
    f"# {HEADER}12345 5 1 1 1 1": "line 1: the header begins with #; remove",
    "map_id,disc_id,k,g,s,p\n12345,5,1,1,1,1": "line 1: commas .*write white space",
    "12345 5 1 1 1 1": "line 1: no header; put this line above: map_id disc_id k g s p",
    "map_id disc_id k g s\n12345 5 1 1 1": "line 1: no column p in .*must name",
    f"{HEADER[:-1]} p\n12345 5 1 1 1 1 1": "line 1: 2 columns p in .*must name",
    f"{HEADER}12345 5 1 1 1": "line 2: 5 values under 6 column names",
    f"{HEADER}\n12345 5 1 x 1 1": "line 3: g = 'x' is not a finite number; write",
    f"{HEADER}12345 5 1 1 nan 1": "line 2: s = 'nan' is not a finite number; write",
    f"{HEADER}12345 5 1 1 1 0,2": "line 2: p = '0,2' is not a finite number; write it as",
    f"{HEADER}12345 5 1 1 1 1e999": "line 2: p = '1e999' is not a finite number; write",
    f"{HEADER}12345 5 1 1 1 -1": "line 2: p = -1 is no size of a source; write",
    f"{HEADER}12345 5.0 1 1 1 1": "line 2: disc_id '5.0' is not a whole number; write",
    f"{HEADER}12345 5 1 1 1 1\n12345 05 1 1 1 1": "line 3: 12345/05.dat is listed twice; remove",
}


@pytest.mark.parametrize("text", LABELS)
def test_bad_labels_are_named_by_line_with_cause_and_cure(folder, text):
    (folder / "labels.dat").write_text(text, encoding="utf-8")
    message = complaint(folder)
    assert message.startswith(f"{folder / 'labels.dat'}, line ")
    assert_match(LABELS[text], message)


SCALES = {  # values that can be used, but hardly are relative magnifications: what is said
    "magnitudes": (18 + 0.1 * MU, r"mean is 18\.\d+ in 1 of 2 .*has mean 1.*magnitudes, write 10"),
    "counts": (np.round(5000 * MU), r"mean is 7768 in 1 of 2 files .*counts"),
    "raw magnification": (5 * MU, r"mean is 7\.768 in .*counts or fluxes, divide"),
    "zeros": (0 * MU, r"3 of 6 curves are 0 throughout \(first in 12345_05\).*leave them out"),
}


@pytest.mark.parametrize("name", SCALES)
def test_magnitudes_counts_and_zeros_are_read_with_a_warning(folder, name, capsys):
    curves, expected = SCALES[name]
    np.savetxt(folder / "12345/05.dat", curves, delimiter=",")
    x, _ = data_loader.dataloader(folder)
    np.testing.assert_array_equal(x["12345_05"], curves)
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {folder}: ") and said.count("\n") == 1
    assert_match(expected, said)


def test_good_curves_are_read_without_a_word(folder, capsys):
    data_loader.dataloader(folder)
    assert capsys.readouterr() == ("", "")
