"""How `ctseg batch` behaves in a shell: settings from elsewhere, how much it says, colours, logs."""

import io
import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from ctseg_batch.terminal.watch import ConsoleWatcher


@pytest.fixture
def scans(draw, save_slice, save_volume, tmp_path):
    save_slice(tmp_path / "in/images/a.png", draw())
    save_volume(tmp_path / "in/ct.nii", np.stack([draw(1), draw(2)]), (5, 9, 9))
    return tmp_path / "in"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Write a ctseg.toml into the current folder, which is one of the test's own."""
    monkeypatch.chdir(tmp_path)

    def written(text):
        (tmp_path / "ctseg.toml").write_text(text)

    return written


def test_a_flag_wins_over_the_environment_and_that_over_the_file(command, scans, settings, tmp_path, monkeypatch):
    settings('[batch]\nout = "by-file"\nwrite = "overlay"\nspacing = [5, 9.5, 9]\n')
    assert command(scans).status == 0
    assert (tmp_path / "by-file/overlays").is_dir()
    summary = json.loads((tmp_path / "by-file/summary.json").read_text())
    assert {scan["scan"]: scan["spacing_mm"] for scan in summary["scans"]}["images"] == [5, 9.5, 9]
    monkeypatch.setenv("CTSEG_BATCH_OUT", "by-environment")
    assert command(scans).status == 0
    assert (tmp_path / "by-environment").is_dir()
    assert command(scans, "--out", "by-flag", "--write", "mask").status == 0
    assert not (tmp_path / "by-flag/overlays").exists()


def test_kinds_of_output_add_up_however_they_are_given(command, scans, settings, tmp_path, monkeypatch):
    def folders(out):
        return sorted(path.name for path in (tmp_path / out).iterdir() if path.is_dir() and path.name != ".ctseg")

    assert command(scans, "--out", "flags", "--write", "mask", "--write", "overlay, nifti").status == 0
    assert folders("flags") == ["masks", "nifti", "overlays"]
    settings('[batch]\nwrite = ["overlay", "mask"]\n')
    assert command(scans, "--out", "file").status == 0
    assert folders("file") == ["masks", "overlays"]
    monkeypatch.setenv("CTSEG_BATCH_WRITE", "mask,nifti")
    assert command(scans, "--out", "environment").status == 0
    assert folders("environment") == ["masks", "nifti"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "0"], "invalid value for '--workers': give at least 1"),
        (["--batch-size", "abc"], "invalid value for '--batch-size': give a whole number"),
        (["--gpus-per-worker", "abc"], "invalid value for '--gpus-per-worker': give a number"),
        ([], "CTSEG_BATCH_QUIET: give 1 or 0"),
    ],
)
def test_values_are_refused_in_plain_words(command, scans, tmp_path, monkeypatch, options, said):
    if not options:
        monkeypatch.setenv("CTSEG_BATCH_QUIET", "maybe")
    left = command(scans, "--out", tmp_path / "out", *options)
    assert left.status == 2
    assert left.err.startswith("error: ")
    assert said in left.err
    assert left.err.count("\n") == 1
    assert "Input" not in left.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("workers = 0", "workers = 0: give at least 1"),
        ('workers = "2"', "workers = '2': give a whole number"),
        ("workers = true", "workers = True: give a whole number"),
        ('device = "gpu"', "device = 'gpu': 'gpu' is not one of 'auto', 'cpu', 'cuda'."),
        ("truth = 3", 'truth = 3: give a string, in "quotation marks"'),
        ('series-filter = "thickness<=2"', "series-filter = 'thickness<=2': give a list of strings"),
        ("batchsize = 2", "batchsize is not known: did you mean batch-size?"),
    ],
)
def test_values_of_a_file_are_checked(command, scans, settings, tmp_path, line, said):
    settings(f"[batch]\n{line}\n")
    left = command(scans, "--out", tmp_path / "out", "--device", "cpu")
    assert left.status == 2
    assert left.err == f"error: ctseg.toml: [batch] {said}\n"


def test_an_option_that_may_be_repeated_is_a_list(command, scans, settings, tmp_path, monkeypatch):
    settings('[batch]\nseries_filter = ["thickness<=2", "slices>=x"]\n')
    assert "slices is a number, and x is not" in command(scans, "--out", tmp_path / "out").err
    monkeypatch.setenv("CTSEG_BATCH_SERIES_FILTER", "description~lung window ; slices>=y;")
    assert "slices is a number, and y is not" in command(scans, "--out", tmp_path / "out").err
    assert "and z is not" in command(scans, "--out", tmp_path / "out", "--series-filter", "slices=z").err


def test_a_variable_of_the_wrong_kind_is_named(command, scans, tmp_path, monkeypatch):
    monkeypatch.setenv("CTSEG_BATCH_BATCH_SIZE", "many")
    left = command(scans, "--out", tmp_path / "out")
    assert left.status == 2
    assert "CTSEG_BATCH_BATCH_SIZE" in left.err


def test_quiet_says_what_failed_alone(command, scans, tmp_path):
    (scans / "images/b.png").write_bytes(b"none")
    left = command(scans, "--out", tmp_path / "out", "-q")
    assert left.status == 1
    assert left.err.startswith("failed: images/b.png: ")
    assert left.err.count("\n") == 1


def test_quiet_says_why_the_status_is_1_where_no_file_failed(command, scans, tmp_path):
    (tmp_path / "truth").mkdir()
    call = [scans, "--out", tmp_path / "out", "--truth", tmp_path / "truth"]
    left = command(*call, "-q")
    assert (left.status, left.err.count("\n")) == (1, 1)
    assert left.err.startswith("no reference mask was found for any slice: there is no ")
    assert command(*call).err.count(left.err) == 1


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("1.2.840.10008.5.1.4.1.1.4", ["-q"], "nothing could be segmented: 2 skipped: not a CT image"),
        (
            "1.2.840.10008.5.1.4.1.1.2",
            ["-q", "--series-filter", "slices>9"],
            "could be segmented: 1 skipped: left",
        ),
    ],
)
def test_status_2_is_never_silent(command, draw, save_series, tmp_path, kind, options, said):
    save_series(tmp_path / "in", np.stack([draw(0, 64, 64)] * 2), SOPClassUID=kind)
    left = command(tmp_path / "in", "--out", tmp_path / "out", *options)
    assert left.status == 2
    assert left.err.count("\n") == 1
    assert said in left.err
    dry = command(tmp_path / "in", "--out", tmp_path / "dry", *options, "--dry-run")
    assert dry.status == 2
    assert said in dry.err
    assert said in command(tmp_path / "in", "--out", tmp_path / "dry", *options, "--dry-run", "--json").err


def test_verbose_tells_of_each_scan_of_choices_and_of_time(command, scans, settings, tmp_path, monkeypatch):
    settings('[batch]\nwrite = "mask,overlay"\n')
    monkeypatch.setenv("CTSEG_BATCH_SPACING", "5,9,9")
    left = command(scans, "--out", tmp_path / "out", "-v")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    volume = next(scan for scan in summary["scans"] if scan["scan"] == "ct.nii")
    lines = left.err.splitlines()
    assert "spacing is set by CTSEG_BATCH_SPACING" in lines
    assert "write is set by ctseg.toml" in lines
    assert any(line.startswith("workers: 2; slices at once: 1") for line in lines)
    assert f"found: 2 files of CT in 2 places below {scans}" in lines
    assert any(line.startswith("model quarters 1 in fp32 on the CPU") for line in lines)
    (told,) = (line for line in lines if line.startswith("ct.nii: "))
    figures = f"ct.nii: 2 slices, lung {volume['lung_ml']:,.0f} mL, {volume['involvement_percent']:.1f} % involved"
    assert told.startswith(figures)
    (time,) = (line for line in lines if line.startswith("where the time went: "))
    assert {"infer", "decode", "encode"} <= {part.split()[0] for part in time.partition(": ")[2].split(", ")}


def test_verbose_does_not_tell_what_is_little_as_nothing(command, save_volume, tmp_path):
    labels = np.ones((3, 64, 64), np.uint8)
    labels[0, 0, 0] = 3
    save_volume(tmp_path / "in/ct.nii", labels, (1, 1, 1))
    left = command(tmp_path / "in", "--out", tmp_path / "out", "-v")
    assert "ct.nii: 3 slices, lung 12 mL, <0.1 % involved" in left.err.splitlines()


def test_where_the_time_went_is_told_though_nothing_was_done(command, scans, tmp_path):
    command(scans, "--out", tmp_path / "out")
    err = command(scans, "--out", tmp_path / "out", "--verbose").err
    assert "where the time went: discover 100%" in err


def test_quiet_and_verbose_at_once_is_a_wrong_call(command, scans, tmp_path):
    left = command(scans, "--out", tmp_path / "out", "-q", "-v")
    assert (left.status, left.err) == (2, "error: --quiet and --verbose contradict each other: leave one out\n")


@pytest.mark.parametrize(("set_to", "typed", "is_told"), [("QUIET", "-v", True), ("VERBOSE", "-q", False)])
def test_what_is_typed_goes_before_what_is_set(command, scans, tmp_path, monkeypatch, set_to, typed, is_told):
    monkeypatch.setenv(f"CTSEG_BATCH_{set_to}", "1")
    left = command(scans, "--out", tmp_path / "out", typed)
    assert (left.status, "where the time went: " in left.err) == (0, is_told)


def test_a_failure_is_one_line_however_long(command, scans, tmp_path):
    name = "long " * 40
    (scans / f"images/{name}.png").write_bytes(b"none")
    assert f"failed: images/{name}.png: " in command(scans, "--out", tmp_path / "out").err


def run(quarters, scans, out, stderr=subprocess.PIPE, **environment):
    """The command in a process of its own, which alone knows terminals."""
    code = "from ctseg.cli import main; main()"
    arguments = ["batch", str(scans), "--out", str(out), "--model", str(quarters), "--device", "cpu"]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=True,
        env={**kept, "TERM": "xterm-256color", **environment},
    )


def test_in_a_log_there_are_neither_colours_nor_a_bar_but_on_request_colours(quarters, scans, tmp_path):
    plain = run(quarters, scans, tmp_path / "out1").stderr
    assert "\x1b" not in plain
    assert "ct.nii" in plain
    coloured = run(quarters, scans, tmp_path / "out2", FORCE_COLOR="1").stderr
    assert "\x1b[" in coloured
    assert "\r" not in coloured
    assert "━" not in coloured


def on_a_terminal(quarters, scans, out, **environment):
    """What the command writes to a terminal as its standard error."""
    ours, theirs = pty.openpty()
    run(quarters, scans, out, theirs, **environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the terminal is gone with its last writer
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    return written.decode()


@pytest.mark.skipif(os.name != "posix", reason="terminals are another matter there")
def test_on_a_terminal_there_are_colours_unless_no_color_forbids_them(quarters, scans, tmp_path):
    coloured = on_a_terminal(quarters, scans, tmp_path / "out1")
    assert "\x1b[32m" in coloured
    assert "slices/s" in coloured
    plain = on_a_terminal(quarters, scans, tmp_path / "out2", NO_COLOR="1")
    assert "ok" in plain
    assert not [code for code in range(30, 39) if f"\x1b[{code}" in plain]


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_a_minute_with_speed_and_the_time_that_is_left():
    said, clock = io.StringIO(), Clock()
    with ConsoleWatcher(Console(file=said, width=80), clock) as watcher:
        watcher.expect(10_000)
        for _ in range(960):
            clock.now += 0.125
            watcher.advance()
        watcher.expect(-1000)
        clock.now += 3600
        watcher.advance()
    assert said.getvalue().splitlines() == [
        "480 of 10000 slices, 8.0 slices/s, 20 min left",
        "960 of 10000 slices, 8.0 slices/s, 19 min left",
        "961 of 9000 slices, 0.0 slices/s, 8039.0 h left",
    ]


def bar(expected, done):
    """What a terminal gets of a run's bar."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with ConsoleWatcher(Console(file=terminal, width=80, force_terminal=True, force_interactive=True)) as watcher:
        watcher.expect(expected)
        for _ in range(done):
            watcher.advance()
    return terminal.getvalue()


def test_a_bar_says_when_slices_are_all_done_and_scans_are_not():
    assert "finishing scans" in bar(2, 2)


def test_a_bar_goes_at_the_end_but_stays_where_a_run_is_interrupted():
    erased = "\x1b[1A\x1b[2K"  # the line above
    assert bar(2, 2).endswith(erased)
    assert not bar(2, 1).endswith(erased)
    assert "1/2" in bar(2, 1)
