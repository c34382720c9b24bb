"""What is no file, may not be read, or changes while the run goes on: it fails alone, by name, and blocks nothing."""

import errno
import importlib
import io
import os
import shutil
import socket
import sys

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ctseg.reading import dicom_file


@pytest.mark.skipif(sys.platform == "win32", reason="files of these kinds are another matter there")
@pytest.mark.parametrize("name", ["x.png", "x.dcm", "x.nii.gz", "x"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: file.symlink_to("nowhere"), "No such file"),
        (lambda file: file.symlink_to(file.name), "symbolic links"),
        (lambda file: file.symlink_to("/dev/zero"), "is a device"),
        (lambda file: file.symlink_to("/dev/null"), "is a device"),
        (os.mkfifo, "is a named pipe"),
    ],
    ids=["a broken link", "a link to itself", "zeros without end", "nothing without end", "a pipe"],
)
def test_what_is_no_file_is_named_and_does_not_block(beside, name, make, said):
    make(beside.folder / "images" / name)
    ((file, reason),) = beside.failures().items()
    assert file == f"images/{name}"
    assert said in reason


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets in folders here")
def test_a_socket_is_named(beside, monkeypatch):
    monkeypatch.chdir(beside.folder / "images")  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("x.png")
        assert beside.failures() == {"images/x.png": "is a socket, not a file"}


@pytest.mark.parametrize("name", ["images/m.png", "volumes/m.nii", "series/m.dcm"])
def test_what_may_not_be_read_is_named(beside, monkeypatch, name):
    file = beside.put(name, b"locked")
    file.chmod(0)
    if os.access(file, os.R_OK):  # as root: then the system is made to say what it would say to others
        monkeypatch.setattr(io, "open", refusing(file, io.open))
        monkeypatch.setattr(dicom_file, "FileIO", refusing(file, io.FileIO))
    assert beside.failures() == {name: "can't be opened: Permission denied"}


def test_a_folder_that_may_not_be_listed_is_named(beside, monkeypatch):
    file = one_more(beside, "images/more/x.png")
    file.parent.chmod(0)
    if os.access(file.parent, os.R_OK):
        monkeypatch.setattr(os, "scandir", refusing(file.parent, os.scandir))
    try:
        assert beside.failures() == {"images/more": "can't be listed: Permission denied"}
    finally:
        file.parent.chmod(0o700)


def refusing(locked, open_):
    def opened(path, *args, **kwargs):
        if os.fspath(path) == str(locked):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return open_(path, *args, **kwargs)

    return opened


def between(monkeypatch, step, act):
    """Do something in mid-run: once `step` of the package `ctseg` or `ctseg_batch` is done for the first time."""
    module, name = step.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)
    acts = [act]

    def then(*args, **kwargs):
        result = real(*args, **kwargs)
        if acts:
            acts.pop()()
        return result

    monkeypatch.setattr(step, then)


def one_more(beside, name):
    """A file of the folder, or another one beside those."""
    if not (beside.folder / name).exists():
        alike = "images/a.png" if name.endswith(".png") else "volumes/a.nii.gz"
        beside.put(name, (beside.folder / alike).read_bytes())
    return beside.folder / name


FOUND, SERIES_OPEN, VOLUME_OPEN = "ctseg_batch.find.discover", "ctseg.reading.open_series", "ctseg.reading.open_volume"
MID_RUN = [
    ("images/m.png", FOUND),
    ("series/b.dcm", FOUND),
    ("series/b.dcm", SERIES_OPEN),
    ("volumes/m.nii", FOUND),
    ("volumes/m.nii", VOLUME_OPEN),
]


@pytest.mark.parametrize(("name", "step"), MID_RUN)
def test_what_vanishes_in_mid_run_is_named(beside, monkeypatch, name, step):
    file = one_more(beside, name)
    between(monkeypatch, step, file.unlink)
    assert beside.failures(unmade=f"{name}.png") == {name: "can't be opened: No such file or directory"}


@pytest.mark.parametrize(("name", "step"), MID_RUN)
def test_what_becomes_something_else_in_mid_run_is_named(beside, monkeypatch, name, step):
    file = one_more(beside, name)
    between(monkeypatch, step, lambda: file.write_bytes(b"%PDF-1.7" + bytes(20_000)))
    assert beside.failures(unmade=f"{name}.png").keys() == {name}


def test_a_folder_that_vanishes_in_mid_run_is_named(beside, monkeypatch):
    one_more(beside, "images/more/x.png")
    between(monkeypatch, FOUND, lambda: shutil.rmtree(beside.folder / "images/more"))
    assert beside.failures() == {"images/more/x.png": "can't be opened: No such file or directory"}


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_series_that_is_replaced_once_its_headers_are_read_is_not_told_by_two_states(
    batch, save_series, convert, draw, monkeypatch, tmp_path, enhanced, syntax
):
    """Sent again with other headers, its pixels where they were: what the first said is no measure of the second."""
    files = save_series(tmp_path / "in/ct", np.stack([draw(seed, 64, 64) for seed in range(2)]))
    if enhanced:
        made = convert(tmp_path / "in/ct.dcm", files)
        shutil.rmtree(tmp_path / "in/ct")
        files = [made]

    def send(spacing):
        for file in files:
            dataset = dcmread(file)
            dataset.file_meta.TransferSyntaxUID = syntax
            shared = dataset.SharedFunctionalGroupsSequence[0] if enhanced else None
            (shared.PixelMeasuresSequence[0] if shared else dataset).PixelSpacing = [spacing, spacing]
            dataset.save_as(file)

    send("1.5")
    between(monkeypatch, SERIES_OPEN, lambda: send("2.5"))
    first = batch(tmp_path / "in")
    assert {error["reason"] for error in first.scan["errors"]} == {"has changed since its header was read: run again"}
    assert (first.status, first.scan["failed_slices"], first.masks) == (2, 2, {})
    second = batch(tmp_path / "in")
    assert (second.status, second.scan["spacing_mm"][1:]) == (0, (2.5, 2.5))
