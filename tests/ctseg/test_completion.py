"""Completion by the shell, as `ctseg --install-completion` sets it up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctseg.cli import COMMANDS, main

BASH = shutil.which("bash")
ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_ctseg_completion ctseg
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(monkeypatch, capsys, *words):
    """What is offered for the last of `words`."""
    monkeypatch.setenv("_CTSEG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit) as left:
        main([])
    assert not left.value.code
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ctseg", ""], list(COMMANDS)),
        (["ctseg", "e"], ["evaluate", "export"]),
        (["ctseg", "--v"], ["--version"]),
        (["ctseg", "batch", "--series"], ["--series-filter"]),
        (["ctseg", "batch", "--conf"], ["--config"]),
        (["ctseg", "batch", "in", "--device", "c"], ["cpu", "cuda"]),
        (["ctseg", "batch", "--precision=in"], ["int8"]),
        (["ctseg", "train", "--res"], ["--resume"]),
        (["ctseg", "batch", ""], []),  # then the shell offers files
        (["ctseg", "nothing", "--x"], []),
    ],
)
def test_commands_options_and_choices_are_completed(monkeypatch, capsys, words, expected):
    assert complete(monkeypatch, capsys, *words) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_completes_its_options(monkeypatch, capsys, name):
    assert {"--help", "--config"} <= set(complete(monkeypatch, capsys, "ctseg", name, "--"))


@pytest.mark.skipif(not BASH, reason="there is no bash")
def test_bash_completes_what_was_installed(tmp_path):
    """A person's own ctseg, in a home folder of the test's own."""
    own = tmp_path / "bin/ctseg"
    own.parent.mkdir()
    own.write_text(f"#!{sys.executable}\nfrom ctseg.cli import main\nmain()\n")
    own.chmod(0o755)
    (tmp_path / ".bashrc").write_text("# mine\n")
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{own.parent}:{os.environ['PATH']}"}

    def bash(script, *arguments):
        call = [BASH, "--norc", "-c", script, "bash", *arguments]
        return subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout

    said = bash("ctseg --install-completion; true")
    assert "completion installed" in said
    script = tmp_path / ".bash_completions/ctseg.sh"
    assert (tmp_path / ".bashrc").read_text().startswith("# mine\n")
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert bash(ASK_BASH, script, "ctseg", "in").split() == ["inspect"]
    assert bash(ASK_BASH, script, "ctseg", "inspect", "--j").split() == ["--json"]
    assert Path(script).read_text().strip() == bash("ctseg --show-completion; true").strip()


def test_completing_loads_no_heavy_library():
    code = (
        "import os, sys\n"
        "os.environ.update(_CTSEG_COMPLETE='complete_bash', COMP_WORDS='ctseg batch --', COMP_CWORD='2')\n"
        "from ctseg.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'matplotlib', 'pydicom', 'nibabel', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
