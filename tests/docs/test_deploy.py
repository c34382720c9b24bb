"""docs/deploy: what can be checked of it without a container, a service or a clock."""

import os
import re
import shlex
import shutil
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest

from ctseg.cli import load

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def calls():
    """Every call of `ctseg batch` in the files, as words."""
    for file in sorted(DEPLOY.iterdir()):
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if found := re.search(r"ctseg (batch .*)", line):
                words = shlex.split(re.split(r"\s2>&1|`", found[1])[0])
                yield pytest.param(words, id=f"{file.name}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", list(calls()))
def test_its_calls_are_calls_that_the_command_takes(words):
    command = load("batch")
    if "--out" in words:
        parameters = command.make_context("ctseg batch", words[1:], resilient_parsing=True).params
        assert parameters["out"]
        assert parameters["inputs"] or parameters["listed"]


def test_the_image_takes_the_runtime_without_the_gpu_and_only_that():
    """The override names the one requirement that the CPU does not need, under the name that it has."""
    (override,) = (line for line in (DEPLOY / "cpu.txt").read_text().splitlines() if not line.startswith("#"))
    name, _, condition = override.partition(";")
    assert condition.strip() == 'python_version < "3"'  # that is: never
    runtimes = {re.match(r"[\w-]+", line)[0] for line in requires("ctseg") if line.startswith("onnxruntime")}
    assert name in runtimes
    assert runtimes - {name} == {"onnxruntime"}


def test_the_build_gets_all_that_the_package_is_made_of():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in names} <= set(ignored)
    assert {"pyproject.toml", "README.md", "LICENSE", "ctseg", "export", "batch"} <= names
    assert all((DEPLOY.parents[1] / name).exists() for name in names)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path):
    """In a root of its own, where the command is there."""
    for unit in ("ctseg-inbox.service", "ctseg-inbox.timer"):
        shutil.copy(DEPLOY / unit, tmp_path)
    command = tmp_path / "ctseg"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    service = tmp_path / "ctseg-inbox.service"
    service.write_text(service.read_text().replace("/opt/ctseg/bin/ctseg", str(command)))
    units = [str(tmp_path / "ctseg-inbox.service"), str(tmp_path / "ctseg-inbox.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("hadolint"), reason="there is no hadolint")
def test_hadolint_finds_nothing_wrong():
    done = subprocess.run(["hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_table_for_cron_has_one_line_that_cron_understands():
    """Five times, a user, a command without the percent signs that cron turns into line ends."""
    lines = (DEPLOY / "ctseg-inbox.cron").read_text().splitlines()
    (job,) = (line for line in lines if line[:1] in "*0123456789")
    fields = job.split(maxsplit=6)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5])
    assert fields[5] == "ctseg"
    assert "%" not in job
    subprocess.run(["sh", "-n", "-c", fields[6]], check=True)


@pytest.mark.parametrize(("inbox", "said"), [("missing", "cannot access"), ("empty", ""), ("full", "done")])
def test_the_job_leaves_an_empty_inbox_alone_and_tells_the_log_of_a_missing_one(tmp_path, inbox, said):
    """With a ctseg and a log of its own."""
    (line,) = (text for text in (DEPLOY / "ctseg-inbox.cron").read_text().splitlines() if text.startswith("*/10"))
    _, command = re.split(r"\s+ctseg\s+", line, maxsplit=1)
    for name, does in (("ctseg", 'ls "$2" 2>&1 && echo done'), ("logger", f"cat >> {tmp_path / 'log'}")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("empty", "full/scan", "results"):
        (tmp_path / name).mkdir(parents=True)
    command = command.replace("/srv/ct/inbox", str(tmp_path / inbox)).replace(
        "/srv/ct/results", str(tmp_path / "results")
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], env={"PATH": path, "LC_ALL": "C"}, check=True)
    log = tmp_path / "log"
    assert said in (log.read_text() if log.exists() else "")
    assert log.exists() == bool(said)
