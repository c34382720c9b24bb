import errno
import json
import os

import pytest

from ctseg.cli import main
from ctseg_batch.commands import demo


def leave(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["demo", *map(str, arguments)])
    return left.value.code or 0, capsys.readouterr().err


def test_the_demo_goes_all_the_way_and_says_that_it_is_synthetic(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "_SLICES", 3)
    (tmp_path / "demo").mkdir()  # an empty folder may be used
    status, said = leave(["--out", tmp_path / "demo"], capsys)
    assert status == 0
    assert "synthetic" in said
    assert "ctseg batch path/to/scans" in said
    results = tmp_path / "demo" / "results"
    for kind in ("masks", "overlays"):
        assert f"{results / kind}" in said
        assert len(list((results / kind).rglob("*.png"))) == 6
    scans = {scan["scan"]: scan for scan in json.loads((results / "summary.json").read_text())["scans"]}
    assert list(scans) == ["mild.nii.gz", "severe"]
    assert all(scan["iou"]["normal_lung"] > 0.7 for scan in scans.values())
    assert scans["severe"]["involvement_percent"] > scans["mild.nii.gz"]["involvement_percent"]


@pytest.mark.parametrize(
    ("writes", "name"),
    [
        ("nibabel.save", "scans/mild.nii.gz"),
        ("pydicom.dataset.FileDataset.save_as", "scans/severe/0000.dcm"),
        ("pathlib.Path.write_bytes", "truth/severe/0000.png"),
    ],
)
def test_a_disk_that_is_full_is_told_with_the_file_that_it_does_not_take(tmp_path, capsys, monkeypatch, writes, name):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(demo, "_SLICES", 3)
    monkeypatch.setattr(writes, full)
    status, said = leave(["--out", tmp_path / "demo"], capsys)
    assert status == 2
    cure = "make room, or name another folder"
    assert said.endswith(f"error: {tmp_path / 'demo' / name} can't be written: No space left on device; {cure}\n")


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path, capsys):
    for mine in (tmp_path / "a" / "mine.txt", tmp_path / "b" / "scans" / "mine.nii.gz"):
        mine.parent.mkdir(parents=True)
        mine.write_text("precious")
        status, said = leave(["--out", tmp_path / mine.relative_to(tmp_path).parts[0]], capsys)
        assert (status, said.count("\n")) == (2, 1)
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["mine.nii.gz", "mine.txt"]
