"""Names of all kinds: each slice has a mask of its own, at its own path, and nothing is written anywhere else."""

import csv
import itertools
import json
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ctseg.reading import kind_of

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="most of these names can't be made there")

STRANGE = (
    " lead.png", "trail .png", "two  blanks.png", "tab\t.png", "new\nline.png", "return\r.png", "\x1b[31mred.png",
    "\x7f.png", "ré sumé.png", "日本語.png", "🫁.png", "\u202egnp.png", "e\u0301.png", "\u00e9.png", "caf\udce9.png",
    "\udcff\udcfe.png", "-rf.png", "--out.png", "-", "~.png", "$(touch here).png", "`x`.png", "*.png", "?.png",
    "[a-z].png", "a;b.png", "'.png", '".png', "\\.png", "\\..\\up.png", "%s%n.png", "{0}.png", "[red].png", "...",
    "..a.png", "...png", ".hidden.png", "CON.png", "nul", "#images", "a:0.png", "a,b.png", "=1+1.png",
)  # fmt: skip
LONG = ("x" * 251 + ".png", "é" * 125 + ".png", "y" * 251)
TWINS = (
    "a.png", "A.png", "a.PNG", "A.PNG", "a.Png", "a.jpg", "a.JPG", "a.jpeg", "a.tif", "a.tiff", "a.bmp", "a", "A",
    "a.1", "a.png.png", "a.jpg.png", "a.JPG.png", "a.png.jpg", "a.png.png.png", "a.1.png",
)  # fmt: skip
GREY = np.array([32, 96, 160, 224], np.uint8)
HU = np.array([-1000, -600, -200, 100], np.int16)


def as_png(labels):
    return cv2.imencode(".png", GREY[labels])[1].tobytes()


def as_nifti(labels, file):
    nibabel.Nifti1Image(HU[labels][::-1, ::-1].T[..., None], np.eye(4)).to_filename(file)
    return file.read_bytes()


def everything(folder):
    """What there is below a folder, with its size and time of change; folders by name alone."""
    return {
        path: (path.lstat().st_size, path.lstat().st_mtime_ns) if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def fill(draw):
    """Write slices of the names given below a folder, all of them PNG within, each with labels of its own."""

    def filled(folder, names):
        labels = {name: draw(number) for number, name in enumerate(names)}
        for name, mask in labels.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(as_png(mask))
        return labels

    return filled


def check_masks(masks, labels):
    """There is a mask for each of the labels, called like its input, and perhaps `.png` after that."""
    names = {mask.tobytes(): name for name, mask in masks.items()}
    assert len(names) == len(masks) == len(labels)
    for name, mask in labels.items():
        written = names[mask.tobytes()]
        assert written.startswith(name)
        assert re.fullmatch(r"(/0000)?(\.png)*", written[len(name) :])


@contextmanager
def nothing_but(out, folder):
    """Sees to it that within a folder nothing is written, changed or made but `out`."""
    before = everything(folder)
    yield
    after = everything(folder)
    assert {path: after.get(path) for path in before} == before
    assert all(path.is_relative_to(out) for path in after.keys() - before.keys())


@pytest.mark.parametrize("names", [STRANGE, LONG, TWINS], ids=["strange", "long", "twins"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_each_slice_has_a_mask_of_its_own_and_nothing_else_is_written(batch, fill, tmp_path, names, depth):
    folders = itertools.cycle(name for name in names if len(name) < 100)
    files = ["".join(f"{next(folders)}.d/" for _ in range(depth * (names != LONG))) + name for name in names]
    labels = fill(tmp_path / "in", files)
    with nothing_but(tmp_path / "out", tmp_path):
        done = batch(tmp_path / "in", write=("mask", "overlay"))
    assert done.status == 0
    check_masks(done.masks, labels)


def test_what_is_told_of_strange_names_are_those_names(command, fill, tmp_path):
    fill(tmp_path / "in", [f"{name}.d/1.png" for name in STRANGE])
    for file in (tmp_path / "in").rglob("1.png"):
        file.write_bytes(b"damaged")
    fill(tmp_path / "in", ["whole.png"])
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--json")
    names = {f"{name}.d/1.png" for name in STRANGE}
    assert {error["file"] for scan in json.loads(left.out)["scans"] for error in scan["errors"]} == names
    assert {c for c in left.err if not c.isprintable()} == {"\n"}
    with (tmp_path / "out/summary.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as rows:
        assert {row["scan"] for row in csv.DictReader(rows)} == {name.removesuffix("/1.png") for name in names} | {"in"}


def test_no_scan_bears_the_name_of_another_folder(batch, draw, save_slice, save_series, counted, tmp_path):
    top = tmp_path / "in"
    save_series(top / "a", np.stack([draw(0, 64, 64)]))
    save_slice(top / "a/x.png", draw(1))
    for seed, stem in enumerate("12"):
        save_series(top / "b", np.stack([draw(seed, 64, 64)]), stems=stem, seed=seed)
    names = batch(top).scans.keys()
    assert {"a", "a#images"} < names
    for name in names - {"a"}:  # somebody has named folders after scans
        save_slice(top / name / "y.png", draw(2))
    done = batch(top)
    assert done.scans.keys() == names | {f"{name}#scan" for name in names - {"a"}}
    assert all(scan["slices"] == 1 for scan in done.scans.values())
    np.testing.assert_array_equal(done.masks["a#images/y.png"], draw(2))
    counted()
    batch(top)
    assert counted() == 0


@pytest.mark.parametrize("given", ["in", "./in", "in/../in", "in/sub/..", "../{}/in", "-in/../in"])
def test_an_input_given_by_a_winding_path_is_the_same_folder(command, fill, tmp_path, monkeypatch, given):
    labels = fill(tmp_path / "in", ["sub/1.png", "2.png"])
    (tmp_path / "-in").mkdir()
    monkeypatch.chdir(tmp_path)
    with nothing_but(tmp_path / "out", tmp_path):
        left = command("--out", "in/../out", "--json", "--", given.format(tmp_path.name))
    assert left.status == 0
    masks = tmp_path / "out/masks"
    check_masks({f.relative_to(masks).as_posix(): cv2.imread(str(f), -1) for f in masks.rglob("*.png")}, labels)


@pytest.fixture
def caseless(tmp_path):
    """An OUT that finds a file by its name in another case, as far as a run looks; the names that a run is kept by."""
    (tmp_path / "out/.ctseg").mkdir(parents=True)
    (tmp_path / "out/.CTSEG").symlink_to(".ctseg")
    return tmp_path / "out"


def failures(done):
    assert all(
        re.fullmatch("would overwrite the output of .*: OUT ignores case in names; rename one .*", e["reason"])
        for e in done.summary["errors"]
    )
    return [error["file"] for error in done.summary["errors"]]


@pytest.mark.parametrize(
    ("write", "lost"),
    [
        (("mask",), ["case1/1.png", "case1/a.PNG", "v/ct.nii.gz"]),
        (("nifti",), ["case1/1.png", "case1/2.png", "v/ct.nii.gz"]),
        (("mask", "nifti"), ["case1/1.png", "case1/2.png", "case1/A.PNG", "case1/a.PNG", "v/ct.nii.gz"]),
    ],
)
def test_where_out_does_not_tell_case_nothing_overwrites_anything(
    batch, fill, caseless, save_volume, tmp_path, write, lost
):
    labels = fill(tmp_path / "in", ["Case1/1.png", "case1/1.png", "case1/2.png", "x/1.png"])
    if "mask" in write:
        labels |= fill(tmp_path / "in", ["case1/A.PNG", "case1/a.PNG"])
    for name in ("ct.nii.gz", "CT.nii.gz"):
        save_volume(tmp_path / "in/v" / name, labels["x/1.png"][None])
    first, second = (batch(tmp_path / "in", write=write, spacing=(1.0, 1.0, 1.0)) for _ in range(2))
    assert failures(first) == lost
    assert (first.status, second.status, second.summary["throughput"]["slices"]) == (1, 1, 0)
    assert second.summary["errors"] == first.summary["errors"]
    written = [file.relative_to(caseless).as_posix() for file in caseless.rglob("*.*") if file.is_file()]
    assert len({name.lower() for name in written}) == len(written)
    assert first.scans["Case1"]["status"] == first.scans["v/CT.nii.gz"]["status"] == "ok"


def test_where_out_tells_case_all_is_done(batch, fill, tmp_path):
    fill(tmp_path / "in", ["Case1/1.png", "case1/1.png"])
    done = batch(tmp_path / "in", write=("mask", "nifti"), spacing=(1.0, 1.0, 1.0))
    assert (done.status, list(done.masks)) == (0, ["Case1/1.png", "case1/1.png"])


# Few, so that many are alike but for case or ending.
STEMS = st.sampled_from(["a", "A", "a.b", "-é\n ", "..a", "1"])
ENDINGS = st.sampled_from(["", ".png", ".PNG", ".jpg", ".png.png", ".jpg.png", ".7", ".nii", ".nii.gz", ".txt"])
NAMES = st.tuples(STEMS, ENDINGS).map("".join)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=2).map("/".join), min_size=1, max_size=20, unique=True)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=PATHS)
@example(paths=["a", "a.png/1.jpg", "a.png.png/b/2"])
def test_any_tree_of_names_has_masks_of_its_own(batch, draw, tmp_path, paths):
    home = Path(tempfile.mkdtemp(dir=tmp_path))
    labels = {}
    for number, path in enumerate(paths):
        file, mask = home / "in" / path, draw(number)
        content = as_nifti(mask, home / "ct.nii") if path.endswith((".nii", ".nii.gz")) else as_png(mask)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except OSError:  # what is to be its folder is a file by now, or the other way round
            continue
        if kind_of(file):
            labels[path] = mask
    if labels:
        with nothing_but(home / "out", home):
            done = batch(home / "in", out=home / "out")
        assert done.status == 0
        check_masks(done.masks, labels)
