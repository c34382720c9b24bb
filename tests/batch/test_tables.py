"""slices.csv and the tables as Parquet: a row a slice, a row a scan, the same figures as summary.json."""

import csv
import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pydicom
import pytest

from ctseg.errors import CallError

COLUMNS = [
    "scan", "slice", "source", "mask", "status", "background", "normal_lung", "ground_glass", "consolidation",
    "lung_ml", "involvement_percent",
]  # fmt: skip


def rows_of(out, name="slices.csv"):
    with (out / name).open(newline="", encoding="utf-8", errors="surrogateescape") as text:
        return list(csv.DictReader(text))


@pytest.fixture
def mixed(draw, save_slice, save_series, save_volume, tmp_path):
    """Images, a series whose files are called against their order, a volume: three slices each."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    for number, mask in enumerate(labels):
        save_slice(tmp_path / f"in/p/{number}.jpg", mask)
    save_series(tmp_path / "in/series", labels, stems=["z", "b", "a"])
    save_volume(tmp_path / "in/ct.nii.gz", labels, (2.0, 5.0, 5.0))
    return tmp_path / "in"


def test_each_slice_has_a_row_in_the_order_of_the_scans_and_of_the_body(batch, mixed, draw):
    done = batch(mixed)
    rows = rows_of(done.out)
    assert list(rows[0]) == COLUMNS
    assert [row["scan"] for row in rows] == [name for name in done.scans for _ in range(3)]
    assert [row["slice"] for row in rows] == ["0", "1", "2"] * 3
    by_scan = {name: [row for row in rows if row["scan"] == name] for name in done.scans}
    assert [row["source"] for row in by_scan["series"]] == ["series/z.dcm", "series/b.dcm", "series/a.dcm"]
    assert [row["mask"] for row in by_scan["p"]] == ["p/0.jpg.png", "p/1.jpg.png", "p/2.jpg.png"]
    assert {row["source"] for row in by_scan["ct.nii.gz"]} == {"ct.nii.gz"}
    assert {row["mask"] for row in rows} == set(done.masks)
    for rows in by_scan.values():
        for seed, row in enumerate(rows):
            counts = [np.count_nonzero(draw(seed, 64, 64) == index) for index in range(4)]
            assert [int(row[name]) for name in COLUMNS[5:9]] == counts
            assert float(row["involvement_percent"]) == pytest.approx(100 * sum(counts[2:]) / sum(counts[1:]), abs=1e-4)


def test_the_rows_of_a_scan_add_up_to_its_figures(batch, mixed):
    done = batch(mixed)
    for name, scan in done.scans.items():
        rows = [row for row in rows_of(done.out) if row["scan"] == name]
        for tissue, pixels in scan["pixels"].items():
            assert sum(int(row[tissue]) for row in rows) == pixels
        if scan["lung_ml"] is None:
            assert {row["lung_ml"] for row in rows} == {""}
        else:
            assert sum(float(row["lung_ml"]) for row in rows) == pytest.approx(scan["lung_ml"], abs=1e-3)


def test_a_slice_that_failed_has_a_row_without_figures(batch, mixed):
    (mixed / "p/1.jpg").write_bytes((mixed / "p/1.jpg").read_bytes()[:200])
    (mixed / "series/b.dcm").write_bytes(b"")
    done = batch(mixed)
    failed = [row for row in rows_of(done.out) if row["status"] == "failed"]
    assert [(row["scan"], row["slice"], row["source"]) for row in failed] == [
        ("p", "1", "p/1.jpg"),
        ("series", "2", "series/b.dcm"),  # it can't be told where it lies: it comes last
    ]
    assert all(row[name] == "" for row in failed for name in COLUMNS[5:])
    assert len(rows_of(done.out)) == sum(scan["slices"] for scan in done.scans.values()) == 9


def test_without_lung_involvement_is_empty(batch, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", np.zeros((64, 64), np.uint8))
    (row,) = rows_of(batch(tmp_path / "in", spacing=(1.0, 1.0, 1.0)).out)
    assert (row["lung_ml"], row["involvement_percent"]) == ("0.0", "")


def test_a_call_that_does_nothing_new_writes_the_same_rows(batch, mixed):
    done = batch(mixed)
    before = (done.out / "slices.csv").read_bytes()
    (done.out / "slices.csv").unlink()
    assert batch(mixed).summary["throughput"]["slices"] == 0
    assert (done.out / "slices.csv").read_bytes() == before


def test_of_more_images_than_a_part_the_slices_are_counted_on(batch, draw, save_slice, tmp_path):
    for number in range(300):
        save_slice(tmp_path / f"in/{number}.png", draw(number % 5, 16, 16))
    rows = rows_of(batch(tmp_path / "in").out)
    assert [int(row["slice"]) for row in rows] == list(range(300))
    assert [row["source"] for row in rows] == [f"{number}.png" for number in range(300)]


def test_names_of_any_kind_come_through_the_journal(batch, draw, save_slice, tmp_path):
    strange = ["new\nline", 'comma,"quote', "caf\udce9", "a//b".replace("/", "\u2215")]
    for name in strange:
        save_slice(tmp_path / "in" / name / "slice, \n1.png", draw())
    for _ in range(2):
        rows = rows_of(batch(tmp_path / "in").out)
        assert {row["source"] for row in rows} == {f"{name}/slice, \n1.png" for name in strange}


def test_the_journal_grows_by_little_for_a_slice(batch, draw, save_slice, tmp_path):
    for number in range(256):
        save_slice(tmp_path / f"in/a patient of some name/a series/{number:06d}.png", draw(0, 16, 16))
    out = batch(tmp_path / "in").out
    assert (out / ".ctseg/journal.jsonl").stat().st_size < 256 * 60


@pytest.mark.parametrize("measures", ["basic", "full"])
def test_parquet_holds_what_the_csv_files_hold(batch, mixed, measures):
    out = batch(mixed, parquet=True, measures=measures).out
    for name in ("summary", "slices"):
        table, rows = pyarrow.parquet.read_table(out / f"{name}.parquet"), rows_of(out, f"{name}.csv")
        assert table.column_names == list(rows[0])
        for found, row in zip(table.to_pylist(), rows, strict=True):
            for key, cell in row.items():
                value = found[key]
                assert ("" if value is None else value) == cell or float(cell) == pytest.approx(value, abs=1e-4)
    types = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(out / "summary.parquet")}
    assert (types["scan"], types["slices"], types["lung_ml"]) == ("string", "int64", "double")


def test_parquet_of_an_earlier_call_does_not_stay_behind(batch, mixed):
    out = batch(mixed, parquet=True).out
    batch(mixed)
    assert not list(out.glob("*.parquet"))


def test_a_folder_in_place_of_a_table_is_named_in_plain_words(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    call = tmp_path / "in", "--out", tmp_path / "out"
    assert command(*call).status == 0
    (tmp_path / "out/slices.parquet").mkdir()
    left = command(*call)
    assert left.status == 2
    assert f"{tmp_path}/out/slices.parquet can't be written: " in left.err


def test_parquet_takes_names_that_are_no_unicode(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/caf\udce9/a.png", draw())
    out = batch(tmp_path / "in", parquet=True).out
    assert pyarrow.parquet.read_table(out / "summary.parquet")["scan"].to_pylist() == ["caf\ufffd"]


def test_without_the_extra_parquet_is_refused_before_anything_is_written(command, mixed, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    left = command(mixed, "--out", tmp_path / "out", "--parquet")
    assert left.status == 2
    assert "pip install '.[parquet]'" in left.err
    assert not (tmp_path / "out").exists()


def test_full_measures_are_columns_of_their_own(batch, mixed):
    done = batch(mixed, measures="full")
    rows = {row["scan"]: row for row in rows_of(done.out, "summary.csv")}
    scan = done.scans["ct.nii.gz"]
    row = rows["ct.nii.gz"]
    lungs = {name: lung for name, lung in scan["regions"].items() if lung}
    for name, lung in lungs.items():
        upper = lung["thirds"]["upper"]["volumes_ml"]
        assert float(row[f"{name}_lung_ml"]) == pytest.approx(lung["lung_ml"], abs=1e-4)
        assert float(row[f"{name}_upper_ground_glass_ml"]) == pytest.approx(upper["ground_glass"], abs=1e-4)
        assert float(row[f"{name}_lung_mass_g"]) == pytest.approx(lung["mass_g"]["lung"], abs=1e-4)
        assert row[f"severity_{name}"] == str(scan["severity"][name])
    assert lungs
    assert row["lesions_count"] == str(scan["lesions"]["count"])
    assert rows["p"]["right_lung_ml"] == rows["p"]["severity_right"] == ""


def test_a_table_of_ones_own_is_joined_by_the_digest_of_the_series(batch, mixed):
    header = pydicom.dcmread(mixed / "series/z.dcm")
    uids = f"{header.StudyInstanceUID} {header.SeriesInstanceUID}"
    done = batch(mixed)
    rows = {row["scan"]: row for row in rows_of(done.out, "summary.csv")}
    assert rows["series"]["series"] == hashlib.blake2b(uids.encode(), digest_size=16).hexdigest()
    assert rows["ct.nii.gz"]["series"] == ""
    assert done.scans["series"]["series"] == rows["series"]["series"]


def test_a_disk_that_is_full_leaves_no_half_table(batch, mixed, monkeypatch, tmp_path):
    def fail(stream, *_):
        stream.write(b"scan,sli")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("ctseg_batch.figures.tables.print_csv", fail)
        with pytest.raises(CallError, match=r"slices\.csv can't be written"):
            batch(mixed)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not (tmp_path / "out/slices.csv").exists()
    assert batch(mixed).summary["throughput"]["slices"] == 0


def test_each_column_holds_the_figure_that_its_name_says(batch, draw, save_volume, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    labels[:, :, 24:40] = 0  # two lungs
    save_volume(tmp_path / "in/ct.nii", labels, (2.0, 5.0, 6.0))
    save_volume(tmp_path / "truth/ct.nii", np.roll(labels, 1, 1), truth=True)
    done = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth")
    scan, (row,) = done.scan, rows_of(done.out, "summary.csv")
    told = dict(zip(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), scan["spacing_mm"], strict=True))
    told |= {
        f"{key}_{name}": value for key in ("iou", "dice", "severity", "lesions") for name, value in scan[key].items()
    }
    told |= {f"{name}_{key}": value for name, one in scan["surface"].items() for key, value in one.items()}
    told |= {f"{name}_volume_error_ml": value for name, value in scan["volume_error_ml"].items()}
    for key in ("mean_hu", "mass_g"):
        told |= {f"{name}_{key}": value for name, value in scan[key].items()}
    regions = {lung: one for lung, one in scan["regions"].items() if one}
    regions |= {f"{lung}_{third}": one for lung, of in tuple(regions.items()) for third, one in of["thirds"].items()}
    for place, one in regions.items():
        told[f"{place}_involvement_percent"] = one["involvement_percent"]
        for key, ending in (("volumes_ml", "ml"), ("percent", "percent"), ("mean_hu", "mean_hu"), ("mass_g", "mass_g")):
            told |= {f"{place}_{name}_{ending}": value for name, value in one[key].items()}
    assert len(regions) == 8
    assert {name: float(row[name]) if row[name] else None for name in told} == pytest.approx(told, abs=1e-4)


def test_parquet_holds_the_rows_of_all_its_groups(batch, mixed, monkeypatch):
    monkeypatch.setattr("ctseg_batch.figures.tables._ROWS_A_GROUP", 2)
    out = batch(mixed, parquet=True).out
    assert pyarrow.parquet.read_table(out / "slices.parquet").num_rows == len(rows_of(out)) == 9


def test_the_page_on_tables_runs(batch, save_volume, speck, tmp_path, monkeypatch):
    """Its lines for pandas, with patients whose names are numbers."""
    pandas = pytest.importorskip("pandas")
    for patient in ("007", "010"):
        save_volume(tmp_path / f"in/{patient}/ct.nii", speck)
    batch(tmp_path / "in", out=tmp_path / "results", measures="full")
    (tmp_path / "patients.csv").write_text("patient,age\n007,61\n010,48\n")
    page = (Path(__file__).parents[2] / "docs/summary.md").read_text(encoding="utf-8")
    (block,) = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block, names)
    assert names["joined"][["scan", "age"]].values.tolist() == [["007/ct.nii", 61], ["010/ct.nii", 48]]
    assert names["flags"].sum() == sum(len(flags.split("; ")) for flags in names["scans"]["flags"])
    assert names["sure"].empty
    assert isinstance(names["scans"], pandas.DataFrame)
