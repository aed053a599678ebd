"""The assignment's loader: what is written comes back exactly; damage is named by file and line."""

import gzip
import shutil

import numpy as np
import pytest
from conftest import HEADER, random_curves

import data_loader
from common.light_curves import data as curve_data
from common.runtime.errors import InputError


def test_every_digit_comes_back_and_line_ends_columns_and_white_space_are_free(folder):
    file, labels = folder / "12345/05.dat", folder / "labels.dat"
    plain = file.read_bytes()
    for end in (b"\n", b"\r"):  # a lone carriage return ends a line
        for path in (file, labels):
            path.write_bytes(path.read_bytes().replace(b"\n", end))
        x, y = data_loader.dataloader(folder)
        assert list(x) == list(y) == ["12345_05", "12345_25"]
        np.testing.assert_array_equal(x["12345_05"], random_curves())
        np.testing.assert_array_equal(x["12345_25"], random_curves(1))
        np.testing.assert_array_equal(y["12345_05"], [[0.4, 0.4, 0, 0.195695]] * 3)
        assert x["12345_05"].dtype == y["12345_05"].dtype == np.float64
    text = "\ufeff\r\np\tdisc_id note s g k map_id\r\n\r\n0.195695\t5 x 0 0.3 0.4 12345\r\n\r\n"
    labels.write_bytes(text.encode())
    file.write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n\r\n"))
    x, y = data_loader.dataloader(str(folder))
    np.testing.assert_array_equal(x["12345_05"], random_curves())
    np.testing.assert_array_equal(y["12345_05"][0], [0.4, 0.3, 0, 0.195695])


LABELS = {
    "": "line 1: no rows",
    HEADER: "line 1: no rows",
    "map_id disc_id k g s\n12345 5 1 1 1": "line 1: the header needs the column p once",
    f"{HEADER[:-1]} p\n12345 5 1 1 1 1 1": "line 1: the header needs the column p once",
    f"{HEADER}12345 5 1 1 1": "line 2: 5 values under 6",
    f"{HEADER}12345\r5 1 1 1 1": "line 2: 1 values under 6",
    f"{HEADER}\n12345 5 1 x 1 1": "line 3: g = 'x' is not a finite",
    f"{HEADER}12345 5 1 1 nan 1": "line 2: s = 'nan' is not a finite",
    f"{HEADER}12345 5 1 1 1 1e999": "line 2: p = '1e999' is not a finite",
    f"{HEADER}12345 5.0 1 1 1 1": "line 2: disc_id '5.0'",
    f"{HEADER}12345 7 1 1 1 1": "line 2: there is no file",
    f"{HEADER}12345 5 1 1 1 1\n12345 05 1 1 1 1": "line 3: 12345_05 is listed twice",
    f"{HEADER}../x 5 1 1 1 1": "line 2: map_id '../x'",
    f"{HEADER}/etc 5 1 1 1 1": "line 2: map_id '/etc'",
    f"{HEADER}out 5 1 1 1 1": "line 2: .* lies outside",
} | {  # what Python would take for a number, and what is no size
    f"{HEADER}12345 5 0.4 0.4 0 {word}": f"line 2: p = {said}"
    for word, said in {
        "1_000": "'1_000' is not a finite number", "١": "'١' is not a finite",
        "0x1": "'0x1' is not a finite", "infinity": "'infinity' is not a finite",
        "-1": "-1 is not between", "0": "0 is not between", "1e300": r"1e\+300 is not between",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("text", LABELS)
def test_bad_labels_are_named_by_line(folder, tmp_path_factory, text):
    outside = tmp_path_factory.mktemp("outside")
    shutil.copy(folder / "12345/05.dat", outside)
    (folder / "out").symlink_to(outside)
    (folder / "labels.dat").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"labels\.dat, {LABELS[text]}"):
        data_loader.dataloader(folder)


ROW = ",".join(["1"] * 300)
CURVES = {
    "": "line 1: no light curves",
    ROW + "\n" + ROW[2:]: "line 2: 299 values",
    ROW + "\n\n" + ROW + ",1": "line 3: 301 values",
    ROW + "\n" + "x" + ROW[1:]: "line 2: value 1, 'x', is not a number",
    "nan" + ROW[1:]: "line 1: value 1, 'nan', is not finite",
    ROW[:-1] + "inf": "line 1: value 300, 'inf', is not finite",
    ROW[:-1] + "-1": "line 1: value 300, '-1', is not finite and >= 0",
    ROW[:-1] + "1e999": "line 1: value 300, '1e999', is not finite",
    ROW.replace(",", " "): "line 1: 1 values instead of 300",
    ROW[:-1]: "line 1: value 300, '', is not a number",
} | {  # what float32 or a reader would bend
    f"{ROW}\n{word}{ROW[1:]}": f"line 2: .*{said}"
    for word, said in {
        "1_0": "is not a number", "1e31": "is beyond", "1e300": "is beyond", "٣": "not a number",
        "0x1": "is not a number", "1,5": "301 values", "1;5": "is not a number",
        "infinity": "is not a number", "1.5\0": "is not a number", "1e": "is not a number",
        '"1"': "is not a number", "1+0j": "is not a number",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("text", CURVES)
def test_bad_curves_are_named_by_line(folder, text):
    (folder / "12345/05.dat").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"05\.dat, {CURVES[text]}"):
        data_loader.dataloader(folder)


def test_missing_binary_and_packed_files_are_named(folder):
    (folder / "12345/05.dat").write_bytes(b"1,2\n\xff\xfe")
    with pytest.raises(ValueError, match=r"05\.dat, line 2: not text"):
        data_loader.dataloader(folder)
    for name in ("12345/05.dat", "labels.dat"):
        (folder / name).write_bytes(gzip.compress((folder / name).read_bytes()))
        with pytest.raises(ValueError, match=r"line 1: not text but packed: gunzip"):
            data_loader.dataloader(folder)
    with pytest.raises(ValueError, match=r"labels\.dat: cannot be read"):
        data_loader.dataloader(folder / "nowhere")


def test_rows_that_are_missing_and_sources_of_the_same_size_lose_nothing_else(folder):
    labels = HEADER + "12345 5 0 0 0 0.2\n12345 25 0 0 0 0.2\n"
    (folder / "labels.dat").write_text(labels)
    x, y = data_loader.dataloader(folder)
    parts, _ = curve_data.split_own(x, y)
    assert len(parts.train[0.2]) + len(parts.test[0.2]) == 6  # joined, not overwritten
    assert len(curve_data.by_size(x, y, 2, False)[0.2]) == 2
    (folder / "labels.dat").write_text(labels.replace("12345 5 0 0 0 0.2\n", ""))
    x, y = data_loader.dataloader(folder)
    assert list(x) == list(y) == ["12345_25"] and x["12345_25"].shape == (3, 300)
    with pytest.raises(InputError, match="at least two"):
        curve_data.split_own({"12345_25": x["12345_25"][:1]}, {"12345_25": y["12345_25"][:1]})
