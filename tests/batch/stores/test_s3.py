"""A thousand slices out of a store and into it, past all that it does to who asks."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from ctseg_batch.remote.recorded import results_among
from ctseg_batch.remote.store import Store
from ctseg_batch.url import location


@pytest.fixture(scope="module")
def thousand(draw, save_slice, save_series, save_volume, tmp_path_factory):
    """A thousand slices of all kinds."""
    top = tmp_path_factory.mktemp("thousand") / "scans"
    for number in range(940):
        save_slice(top / f"images/{number // 300}/{number:03d}.png", draw(number % 9, 16, 16))
    for number in range(6):
        save_volume(top / f"volumes/{number}.nii.gz", np.stack([draw(n, 64, 64) for n in range(8)]), (2.0, 1.0, 1.0))
    save_series(top / "series", np.stack([draw(n, 64, 64) for n in range(12)]))
    return top


def test_a_thousand_slices_go_through_a_store_that_fails_and_dawdles_as_through_a_folder(
    figures, files, thousand, bucket, run, batch, tmp_path
):
    bucket.upload(thousand, "scans")
    here = batch(thousand, out=tmp_path / "here")
    bucket.faults(share=0.05, slow=0.01)
    there = run()
    assert figures(there.summary) == figures(here.summary)
    assert there.status == here.status == 0
    assert there.summary["throughput"]["slices"] == 1000
    bucket.faults()
    assert figures(bucket.summary("out")) == figures(there.summary)
    assert bucket.files("out") == files(here.out)
    before = bucket.listed("out/masks/")
    bucket.counts()
    assert run().summary["throughput"]["slices"] == 0
    asked = bucket.counts()
    assert asked["GET"] < 5  # no file is read again
    assert asked["PUT"] < 8  # the lease and the tables
    assert bucket.listed("out/masks/") == before


def test_all_parts_of_a_folder_are_hounsfield_where_one_image_is(files, bucket, run, batch, save, tmp_path):
    for number in range(258):
        save(tmp_path / f"scans/{number:03d}.npy", np.full((16, 16), 50, np.int16))
    save(tmp_path / "scans/000.npy", np.tile(np.arange(-1000, 600, 100, dtype=np.int16), (16, 1)))
    bucket.upload(tmp_path / "scans", "scans")
    here = batch(tmp_path / "scans", out=tmp_path / "here")
    run()
    assert bucket.files("out") == files(here.out)
    assert np.unique(here.masks["257.npy.png"]).tolist() == [3]


def test_objects_that_have_changed_are_done_again_and_no_others(few, bucket, run, draw, save_slice, counted):
    run()
    before = bucket.listed("out/masks/")
    assert counted() == 7
    bucket.put("scans/b/2.png", save_slice(few / "b/2.png", draw(7)).read_bytes())
    there = run()
    assert counted() == 2
    assert there.status == 0
    assert {name for name, time in bucket.listed("out/masks/").items() if time != before[name]} <= {
        "b/1.png",
        "b/2.png",
    }
    again = bucket.get("out/masks/b/2.png")
    assert run(overwrite=True).summary["throughput"]["slices"] == 7
    assert bucket.get("out/masks/b/2.png") == again


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"refuse": {"1.png": 500}}, "can't be fetched: We encountered an internal error."),
        ({"refuse": {"1.png": 403}}, "can't be fetched: Access Denied"),
        ({"cut": ["1.png"]}, "can't be fetched: "),
    ],
    ids=["always fails", "is forbidden", "is cut off"],
)
def test_an_object_that_can_not_be_had_fails_by_name_and_the_rest_is_done(few, bucket, run, fault, said):
    bucket.faults(
        refuse={f"scans/a/{key}": what for key, what in fault.get("refuse", {}).items()}, cut=fault.get("cut", [])
    )
    there = run()
    assert there.status == 1
    failures = {error["file"]: error["reason"] for scan in there.summary["scans"] for error in scan["errors"]}
    expected = {"a/1.png"} if "refuse" in fault else {"a/1.png", "b/1.png"}
    assert failures.keys() == expected
    assert all(reason.startswith(said) for reason in failures.values())
    assert {*bucket.listed("out/masks/")} == {
        "a/2.png",
        "b/2.png",
        "v.nii/0000.png",
        "v.nii/0001.png",
        "v.nii/0002.png",
    } | ({"b/1.png"} - expected)
    bucket.faults()
    assert run().status == 0
    assert len(bucket.listed("out/masks/")) == 7


def test_an_object_that_vanishes_once_it_was_listed_fails_by_name(few, bucket, run, monkeypatch):
    fetch = Store.fetch

    def late(self, wanted, *sizes):
        bucket.remove("scans/a/2.png")
        bucket.remove("scans/v.nii")
        bucket.put("scans/b/2.png", b"now it is shorter")
        return fetch(self, wanted, *sizes)

    monkeypatch.setattr(Store, "fetch", late)
    there = run()
    size = (few / "b/2.png").stat().st_size
    failures = {error["file"]: error["reason"] for scan in there.summary["scans"] for error in scan["errors"]}
    assert failures == {
        "a/2.png": "can't be fetched: it no longer exists",
        "b/2.png": f"can't be fetched: 17 of {size} bytes arrived: it was cut off, or has changed",
        "v.nii": "can't be fetched: it no longer exists",
    }
    assert {*bucket.listed("out/masks/")} == {"a/1.png", "b/1.png"}


def test_names_of_all_kinds_are_those_of_a_folder(figures, files, bucket, run, batch, draw, save_slice, tmp_path):
    for name in (
        "with space/a b.png",
        "100%/%41.png",
        "a#b/#1.png",
        "is it?/what?.png",
        "größe/日本.png",
        "a+b=c&d/1,2.png",
    ):
        save_slice(tmp_path / "scans" / name, draw(len(name)))
    (tmp_path / "scans/empty.png").touch()
    (tmp_path / "scans/no ending").touch()
    bucket.upload(tmp_path / "scans", "scans")
    bucket.put("scans/", b"")  # as the console of a store makes a folder
    bucket.put("scans/an empty folder/", b"")
    here, there = batch(tmp_path / "scans", out=tmp_path / "here"), run()
    assert figures(there.summary) == figures(here.summary)
    assert bucket.files("out") == files(here.out)


def test_names_that_no_folder_can_have_fail_and_lead_nowhere(few, bucket, run, environment, tmp_path):
    content = (few / "a/1.png").read_bytes()
    for key in ("scans/../../../../up.png", "scans/x//y.png", "scans/./z.png", f"scans/{'long' * 70}/1.png"):
        bucket.put(key, content)
    bucket.put("scans/a.png", content)
    bucket.put("scans/a.png/1.png", content)  # a file cannot be a folder too
    there = run()
    errors = [*there.summary["errors"], *(error for scan in there.summary["scans"] for error in scan["errors"])]
    reasons = {Path(error["file"]).name: error["reason"] for error in errors if "a.png" not in error["file"]}
    assert {name for name, why in reasons.items() if "no file below a folder can have" in why} == {
        "up.png",
        "y.png",
        "z.png",
    }
    assert reasons["1.png"] == "can't be fetched: File name too long"
    assert not list(tmp_path.parent.rglob("up.png"))
    assert {"a/1.png", "a/2.png", "b/1.png", "b/2.png"} <= {*bucket.listed("out/masks/")}


def test_all_that_can_be_written_is_what_a_folder_gets(
    figures, files, thousand, bucket, run, batch, make_model, tmp_path
):
    for name in ("series", "volumes/1.nii.gz", "images/3"):
        place = thousand / name
        for file in [place] if place.is_file() else place.iterdir():
            bucket.put(f"scans/{file.relative_to(thousand).as_posix()}", file.read_bytes())
            target = tmp_path / "scans" / file.relative_to(thousand)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    wanted = {
        "write": ["mask", "overlay", "nifti", "dicom-seg"],
        "measures": "full",
        "parquet": True,
        "spacing": (2.0, 1.0, 1.0),
    }
    here, there = batch(tmp_path / "scans", out=tmp_path / "here", **wanted), run(**wanted)
    assert figures(there.summary) == figures(here.summary)
    assert bucket.files("out") == files(here.out)
    assert {"summary.parquet", "slices.parquet", "nifti/labels.txt", "dicom-seg/series/series.dcm"} <= bucket.files(
        "out"
    ).keys()
    run(**{**wanted, "parquet": False})
    assert "summary.parquet" not in bucket.files("out")


HU = np.array([-1000, -600, -200, 100], np.int16)


def save_image(file, labels, named=""):
    """By SimpleITK; the file, or the header of one with its voxels beside it, is `named` otherwise then."""
    file.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(HU[labels]), str(file))
    if named:
        file.rename(file.with_name(named))


def test_voxels_beside_a_header_are_found_whatever_its_ending(
    figures, files, bucket, run, batch, draw, counted, tmp_path
):
    labels = np.stack([draw(seed) for seed in range(3)])
    for name, header in {"a": "ct.mhd", "b": "ct.nhdr", "c": "ct.mha", "d": "ct.NRRD"}.items():
        save_image(tmp_path / "scans" / name / ("ct.mhd" if name in "ac" else "ct.nhdr"), labels, header)
    bucket.upload(tmp_path / "scans", "scans")
    here, there = batch(tmp_path / "scans", out=tmp_path / "here"), run()
    assert (here.status, here.summary["totals"]["failed_slices"]) == (0, 0)
    assert figures(there.summary) == figures(here.summary)
    assert bucket.files("out") == files(here.out)
    counted()
    run()
    assert counted() == 0
    for name in "abcd":
        bucket.put(f"scans/{name}/ct.raw", HU[np.roll(labels, 8, 1)].tobytes())
        run()
        assert counted() == 3


def test_a_volume_that_is_longer_than_a_header_is_not_fetched_to_see_what_it_is_made_of(bucket, run, draw, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(10)])
    for name in ("ct.mha", "ct.nrrd", "ct.nii"):
        save_image(tmp_path / "scans" / name, labels)
    bucket.upload(tmp_path / "scans", "scans")
    bucket.counts()
    run()
    first = bucket.counts()["GET"]
    assert run().summary["throughput"]["slices"] == 0
    assert bucket.counts()["GET"] <= first - 3 + 1  # the journal besides, which the first had not


def test_a_dry_run_fetches_no_image_and_writes_nothing(few, bucket, told):
    there = told("--dry-run", "--json")
    assert there.status == 0
    assert {one["scan"]: one["to_do"] for one in json.loads(there.out)["scans"]} == {"a": 2, "b": 2, "v.nii": 3}
    assert bucket.counts()["GET"] == 1  # the volume, whose header says how many slices it has
    assert not bucket.listed("out/")
    told()
    told_again = told("--dry-run", "--json")
    assert {one["to_do"] for one in json.loads(told_again.out)["scans"]} == {0}


def test_inputs_may_be_listed_and_scans_named_from_a_root(few, bucket, command, tmp_path):
    listed = tmp_path / "list"
    listed.write_text("\n".join([bucket.url("scans/a"), bucket.url("scans/b/1.png"), bucket.url("scans/gone.png")]))
    left = command("--from", listed, "--root", bucket.url(""), "--out", bucket.url("out"), "--json")
    summary = json.loads(left.out)
    assert left.status == 1
    assert [(scan["scan"], scan["slices"]) for scan in summary["scans"]] == [("scans/a", 2), ("scans/b", 1)]
    assert summary["errors"] == [{"file": "scans/gone.png", "reason": "does not exist or is empty"}]


def test_one_file_may_be_an_input_and_out_may_lie_here(files, few, bucket, command, tmp_path):
    assert command(bucket.url("scans/v.nii"), "--out", tmp_path / "out", "-q").status == 0
    assert sorted(files(tmp_path / "out")) == [
        "masks/v.nii/0000.png",
        "masks/v.nii/0001.png",
        "masks/v.nii/0002.png",
        "slices.csv",
        "summary.csv",
    ]


def test_out_within_an_input_is_not_searched(few, bucket, command):
    for _ in range(2):
        assert command(bucket.url("scans"), "--out", bucket.url("scans/out"), "-q").status == 0
    assert [scan["scan"] for scan in bucket.summary("scans/out")["scans"]] == ["v.nii", "a", "b"]
    # Nor what other runs wrote there.
    assert command(bucket.url("scans"), "--out", bucket.url("other"), "-q").status == 0
    assert bucket.summary("other")["totals"]["slices"] == 7


def test_what_a_run_has_written_is_no_ct_wherever_it_is_named(few, bucket, command, tmp_path):
    assert command(bucket.url("scans"), "--out", bucket.url("out"), "-q").status == 0
    left = command(bucket.url("out/masks/a"), "--out", bucket.url("more"))
    said = f"{bucket.url('out/masks/a')} was written by ctseg into {bucket.url('out')}: name the scans themselves"
    assert (left.status, left.err) == (2, f"error: {said}\n")
    listed = tmp_path / "list"
    listed.write_text("\n".join([bucket.url("scans/a"), bucket.url("out/masks/b/1.png")]))
    left = command("--from", listed, "--root", bucket.url(""), "--out", bucket.url("more"), "--json")
    summary = json.loads(left.out)
    assert (left.status, [scan["scan"] for scan in summary["scans"]]) == (0, ["scans/a"])
    assert f"no CT in {bucket.url('out/masks')}, only results or reference masks" in summary["notes"]


def test_scans_in_a_folder_that_is_called_like_one_of_results_are_found(bucket, command, draw, save_slice, tmp_path):
    for name in ("nifti/1.png", "ct/1.png"):
        bucket.put(f"study/{name}", save_slice(tmp_path / "1.png", draw()).read_bytes())
    assert command(bucket.url("study/nifti"), "--out", bucket.url("study"), "-q").status == 0
    assert command(bucket.url("study"), "--out", bucket.url("all"), "-q").status == 0
    assert [scan["scan"] for scan in bucket.summary("all")["scans"]] == ["ct", "nifti"]


def test_of_many_urls_below_one_folder_it_is_asked_once_whether_they_are_results(bucket, monkeypatch):
    opened = []

    class Counted(Store):
        def __init__(self, url):
            opened.append(url)
            super().__init__(url)

    monkeypatch.setattr("ctseg_batch.remote.recorded.Store", Counted)
    assert results_among(location(bucket.url(f"nifti/{number}/1.png")) for number in range(50)) == {}
    assert opened == [location(bucket.url(""))]


def test_images_keep_their_masks_where_dicom_files_join_them(bucket, command, draw, save_slice, save_series, tmp_path):
    for number in range(2):
        save_slice(tmp_path / f"p/{number}.png", draw(number, 64, 64))
    bucket.upload(tmp_path, "scans")
    assert command(bucket.url("scans"), "--out", bucket.url("out"), "-q").status == 0
    save_series(tmp_path / "p", np.stack([draw(number, 64, 64) for number in range(3)]))
    bucket.upload(tmp_path, "scans")
    assert command(bucket.url("scans"), "--out", bucket.url("out"), "-q").status == 0
    kept = {name for name in bucket.files("out") if name.startswith("masks/p/")}
    assert {"masks/p/0.png", "masks/p/1.png"} < kept
    assert len(kept) == 5


def test_scratch_holds_what_is_at_work_and_is_gone_in_the_end(
    bucket, run, draw, save_slice, tmp_path, environment, monkeypatch
):
    for number in range(300):
        save_slice(tmp_path / f"scans/{number // 20:02d}/{number % 20:02d}.png", draw(number % 9, 16, 16))
    bucket.upload(tmp_path / "scans", "scans")
    scratch, most, fetch = Path(tempfile.gettempdir()), [], Store.fetch
    assert scratch == Path(environment["TMPDIR"])

    def watched(self, *wanted):
        lost = fetch(self, *wanted)
        folders = list(scratch.iterdir())
        assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
        most.append(sum(file.suffix == ".png" for folder in folders for file in folder.rglob("*")))
        return lost

    monkeypatch.setattr(Store, "fetch", watched)
    assert run().status == 0
    assert len(most) >= 15
    assert max(most) <= 64 + 20 * 4  # two workers have 64 slices waiting; folders at work, and the one to come
    import gc

    gc.collect()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("module", ["s3fs", "paramiko"])
def test_an_extra_that_is_absent_is_named(command, monkeypatch, module, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    scheme = {"s3fs": "s3", "paramiko": "sftp"}[module]
    left = command(f"{scheme}://somewhere/scans", "--out", tmp_path / "out")
    assert left.status == 2
    assert f"this needs {module}, which is not installed: install ctseg with its extra {scheme}" in left.err


def test_a_report_is_made_of_what_lies_here_wherever_the_ct_came_from(few, bucket, command, tmp_path):
    assert command(bucket.url("scans"), "--out", tmp_path / "out", "-q", "--report").status == 0
    assert b"v.nii" in (tmp_path / "out/report.html").read_bytes()


def test_what_no_run_has_written_to_a_store_is_never_written_over(few, bucket, told):
    bucket.put("out/masks/a/1.png", b"mine")
    left = told()
    assert left.status == 2
    assert "out: masks/ exists and was not written by ctseg: name another folder" in left.err
    assert list(bucket.listed("out/")) == ["masks/a/1.png"]
    bucket.remove("out/masks/a/1.png")
    assert told().status == told("--write", "mask,nifti").status == 0
