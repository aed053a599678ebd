"""Other machines: odd torchvision or none, no display, no home, odd paths, warnings as errors."""

from conftest import ROOT, run_script

CUDA_WHEEL = """
import torch
if not hasattr(torch.ops.torchvision, "nms"):
    raise RuntimeError("operator torchvision::nms does not exist")
"""


def run_with(torchvision, code, folder):
    """Run `code` in `folder`, a package torchvision with this text before the real one."""
    package = folder / "stub/torchvision"
    (package / "datasets").mkdir(parents=True)
    (package / "__init__.py").write_text(torchvision)
    (package / "datasets/__init__.py").write_text("")
    (package / "datasets/mnist.py").write_text("class MNIST:\n    pass\n")
    code = f"import sys; sys.path.insert(0, {str(folder / 'stub')!r})\n{code}"
    done = run_script(["-c", code], folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_cuda_torchvision_beside_a_cpu_torch_imports(tmp_path):
    """The stub fails as that wheel does until the two operators are declared."""
    code = "from common.digits import data; print(data.torchvision_mnist().MNIST.__module__)"
    assert run_with(CUDA_WHEEL, code, tmp_path) == "torchvision.datasets.mnist\n"


def test_without_torchvision_only_the_training_of_exercise_1_is_refused(small_mnist):
    """ex_1c and all of exercises 2 and 3 never import it."""
    gone = "raise ModuleNotFoundError('No module named torchvision', name='torchvision')"
    code = f"""
import ex_1b, ex_1c, ex_2a, ex_2b, ex_2c, ex_2d, ex_3a, ex_3b
assert "torchvision" not in sys.modules
ex_1c.generate([1])
try:
    ex_1b.digit_data.load({str(small_mnist)!r})
except ValueError as error:
    print(error)
"""
    said = run_with(gone, code, small_mnist)
    assert said.startswith("MNIST needs torchvision: pip install") and said.count("\n") == 1
    assert not list(small_mnist.rglob("*.tmp"))


def test_no_display_no_home_an_odd_path_another_folder(tmp_path):
    """All at once, with every warning of ours an error."""
    folder = tmp_path / "Übung 3 – имя"
    folder.mkdir()
    home = tmp_path / "home"
    home.write_text("a file: nobody, root neither, can write below it")
    gone = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "HOME": str(home / "me"), "LC_ALL": "C",
            "MPLCONFIGDIR": "", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "",
            "PYTHONWARNINGS": "error:::common,error:::__main__"}  # fmt: skip
    done = run_script([ROOT / "ex_1c.py", "7", "--out-dir", "."], folder, **gone)
    assert done.returncode == 0, done.stderr
    assert (folder / "figures/ex_1c_7.png").stat().st_size > 0
