import re
import subprocess
import sys

import pytest

from ctseg import __version__
from ctseg.cli import COMMANDS, main
from ctseg.errors import MissingExtraError, require


def leave(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code or 0, capsys.readouterr()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_the_front_page_names_every_command(arguments, capsys):
    status, said = leave(arguments, capsys)
    assert status == 0
    assert all(name in said.out for name in COMMANDS)


@pytest.mark.parametrize("asked", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name, asked, capsys):
    status, said = leave([name, asked], capsys)
    assert status == 0
    assert f"ctseg {name}" in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_values_in_plain_words(name, capsys):
    _, said = leave([name, "--help"], capsys)
    assert not re.search(r"<(bool|str|int|float|list|path|dir|file)\b|x[<>]=|\[default: \(", said.out, re.IGNORECASE)


def test_help_shows_choices_limits_and_the_synopsis(capsys):
    _, said = leave(["batch", "--help"], capsys)
    told = " ".join(said.out.replace("│", "").split())
    assert "Usage: ctseg batch [OPTIONS] [INPUT...]" in told
    for line in (
        "--device auto|cpu|cuda auto: CUDA if it works",
        "--workers N Threads; by default one per usable CPU. From 1 to 1024.",
        "--batch-size N Slices per call of the network; 1 is best on a CPU. At least 1. [default: 1]",
        "-h Show this message and exit.",
    ):
        assert line in told


def test_the_version_is_told(capsys):
    status, said = leave(["--version"], capsys)
    assert (status, said.out.strip()) == (0, f"ctseg {__version__}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bach"], "no such command 'bach': did you mean 'batch'?"),
        (["xyzzy"], "no such command 'xyzzy'; see ctseg --help"),
        (["batch", "in"], "--out is missing; for example: ctseg batch scans --out results"),
        (["inspect"], "MODEL is missing; for example: ctseg inspect fast"),
        (["batch", "in", "--out"], "option '--out' requires an argument; see ctseg batch --help"),
        (["batch", "in", "--out", "o", "--devic", "cpu"], "no such option --devic: did you mean --device?"),
        (["batch", "in", "--out", "o", "--xyzzy"], "no such option --xyzzy; see ctseg batch --help"),
        (["inspect", "fast", "x"], "got unexpected extra argument(s) (x); see ctseg inspect --help"),
        (
            ["batch", "in", "--out", "out", "--device", "gpu"],
            "invalid value for '--device': 'gpu' is not one of 'auto', 'cpu', 'cuda'",
        ),
    ],
)
def test_a_wrong_call_is_told_in_one_line(arguments, said, capsys):
    status, told = leave(arguments, capsys)
    assert (status, told.out, told.err) == (2, "", f"error: {said}\n")


def test_our_errors_are_one_line_and_status_2(capsys):
    status, said = leave(["evaluate", "nowhere.onnx", "nothing"], capsys)
    assert status == 2
    assert said.err.startswith("error: no model 'nowhere.onnx'")
    assert said.err.count("\n") == 1


def test_a_fault_of_our_own_is_one_line_and_status_2(capsys, monkeypatch):
    def fail(_):
        raise KeyError("nobody\nknows")

    monkeypatch.setattr("ctseg.cli.load", fail)
    status, said = leave(["inspect"], capsys)
    assert status == 2
    assert said.err.startswith("error: internal error, please report it: KeyError: ")
    assert "test_cli.py:" in said.err
    assert said.err.count("\n") == 1


def test_help_and_import_load_neither_torch_nor_a_runtime():
    code = (
        "import sys, ctseg, ctseg_batch\n"
        "from ctseg.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'matplotlib', 'pydicom', 'nibabel', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_command_loads_nothing_heavy_before_it_runs():
    """So its help is quick, and without an extra it can say which one."""
    code = (
        "import sys\n"
        "from ctseg.cli import COMMANDS, load\n"
        "for name in COMMANDS: load(name)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'matplotlib', 'pydicom', 'nibabel', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_libraries_log_is_not_printed():
    code = (
        "import logging\n"
        "from ctseg.cli import main\n"
        "try: main(['inspect', '--help'])\n"
        "except SystemExit: pass\n"
        "logging.getLogger('codec').error('noise')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_missing_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"pip install '.\[train\]'"):
        require("surely_no_such_module", "train")


def test_ctrl_c_before_a_command_is_loaded_ends_as_it_does_later():
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'ctseg.process.lenient':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from ctseg.cli import main; main(['batch'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
