import io
import json
import os
import shutil
import sys
from dataclasses import replace
from hashlib import sha256

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from ctseg.cli import main
from ctseg.datasets.dataset import read_dataset
from ctseg.datasets.learnt_groups import learnt_groups
from ctseg.errors import CallError, ModelError
from ctseg.model import BEST, file_digest, find_model
from ctseg.prepare import Preparation
from ctseg.training import calibrate, checkpoint
from ctseg.training.distill import Teacher
from ctseg.training.fit import Fit, Progress, best_epoch, schedule_factor
from ctseg.training.network_file import open_network
from ctseg.training.networks import build
from ctseg.training.recipe import LIGHT, SEED, Architecture, choose_recipe
from ctseg.training.report import FitProgress, draw_curves
from ctseg.training.run_folder import LAST
from ctseg.training.samples import load_samples
from ctseg_export.export import export_model

TINY = replace(
    LIGHT,
    architecture=Architecture("light", (8, 8, 8), (0, 1, 1)),
    preparation=Preparation(long_side=32, multiple=32),
    canvas=32,
    batch_size=4,
    epochs=4,
    averaging=0.9,
)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A data set in the seed layout: each class a square of its own grey."""
    folder = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    for patient in range(6):
        mask = np.zeros((40, 40), np.uint8)
        for label in (1, 2, 3):
            y, x = rng.integers(0, 24, 2)
            mask[y : y + 16, x : x + 16] = label
        grey = mask * 60 + rng.integers(0, 20, mask.shape, np.uint8)
        for part, picture in (("image", grey), ("mask", mask)):
            (folder / part / str(patient)).mkdir(parents=True)
            cv2.imwrite(str(folder / part / str(patient) / "0.png"), picture)
    return folder


def make_fit(squares, folder, recipe, tell=lambda line: None, start=None):
    folder.mkdir(exist_ok=True)
    data = [load_samples(read_dataset(squares), seed=0)]
    return Fit(recipe, data, {"seed": 0}, folder, torch.device("cpu"), lambda now: None, tell, start)


def weights(file):
    return checkpoint.load(file).net.state_dict()


def test_the_mean_of_the_weights_follows_those_of_a_short_run(squares, tmp_path):
    begun = make_fit(squares, tmp_path / "none", replace(TINY, averaging=0.998)).net.state_dict()
    make_fit(squares, tmp_path / "run", replace(TINY, averaging=0.998, epochs=10)).fit()
    last = checkpoint.load(tmp_path / "run" / LAST)
    mean, trained = last.net.state_dict(), last.progress["weights"]
    moved, behind = (
        sum(float((one[name] - other[name]).pow(2).sum()) for name in one if one[name].is_floating_point())
        for one, other in ((trained, begun), (trained, mean))
    )
    assert behind < 0.1 * moved


def test_so_much_of_the_start_stays_in_what_is_kept(squares, tmp_path):
    start = build(TINY.architecture)
    recipe = replace(TINY, averaging=0.9)
    for name, share in (("none", 0.0), ("half", 0.25), ("all", 1.0)):
        make_fit(squares, tmp_path / name, replace(recipe, start_share=share), start=start).fit()
    first, trained = start.state_dict(), weights(tmp_path / "none" / LAST)
    half, whole = weights(tmp_path / "half" / LAST), weights(tmp_path / "all" / LAST)
    for name, value in trained.items():
        if value.is_floating_point():
            torch.testing.assert_close(half[name], 0.75 * value + 0.25 * first[name])
            torch.testing.assert_close(whole[name], first[name])


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    "recipe", [TINY, replace(TINY, averaging=0.0, sampling="every"), replace(TINY, cutmix=0.5, start_share=0.5)]
)
def test_a_killed_run_goes_on_to_the_same_result(squares, tmp_path, recipe):
    start = build(recipe.architecture) if recipe.start_share else None
    whole = make_fit(squares, tmp_path / "whole", recipe, start=start).fit()

    def die(line):
        if line["epoch"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        make_fit(squares, tmp_path / "killed", recipe, die, start).fit()
    resumed = make_fit(squares, tmp_path / "killed", recipe, start=start).fit()
    for one, other in zip(whole, resumed, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    for name in (LAST, BEST):
        one, other = weights(tmp_path / "whole" / name), weights(tmp_path / "killed" / name)
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns(squares, tmp_path):
    history = make_fit(squares, tmp_path / "run", replace(TINY, epochs=40, learning_rate=1e-2)).fit()
    assert history[-1]["train_loss"] < 0.6 * history[0]["train_loss"]
    assert max(line["val_iou"] for line in history) > 2 * history[0]["val_iou"]


def test_it_stops_when_the_loss_is_no_longer_a_number(squares, tmp_path, capsys):
    call = ["train", str(squares), "--canvas", "32", "--epochs", "9", "--batch-size", "4", "--device", "cpu"]
    leave([*call, "--learning-rate", "1e6", "--schedule", "constant", "--out", str(tmp_path / "run")], 2)
    said = " ".join(capsys.readouterr().err.split())
    assert "the loss is no longer a number in epoch" in said
    assert "start again with a lower --learning-rate" in said
    for file in (tmp_path / "run").glob("*.pt"):
        assert all(values.isfinite().all() for values in weights(file).values())


def test_when_it_diverges_later_the_best_epoch_before_is_kept(squares, tmp_path):
    def spoil(line):
        fit.recipe = replace(fit.recipe, learning_rate=1e38)

    fit = make_fit(squares, tmp_path / "run", replace(TINY, epochs=9), spoil)
    with pytest.raises(CallError, match=r"lower --learning-rate; .*best\.pt is from epoch \d"):
        fit.fit()
    assert all(values.isfinite().all() for values in weights(tmp_path / "run" / BEST).values())


def test_it_stops_when_it_gets_no_better(squares, tmp_path):
    still = replace(TINY, learning_rate=0.0, patience=2, epochs=50, averaging=0.0)
    history = make_fit(squares, tmp_path / "run", still).fit()
    ious = [line["val_iou"] for line in history]
    assert len(ious) < 50
    assert max(ious[-2:]) <= max(ious[:-2])


def test_a_log_has_a_line_a_minute_within_an_epoch():
    """A run that goes on in its third epoch of four, at 10 s a step."""
    now, said = iter(range(0, 10_000, 10)), io.StringIO()
    with FitProgress(Console(file=said, width=40), 4, lambda: next(now)) as progress:
        for step in range(1, 21):
            progress.on_step(Progress(epoch=3, step=step, steps=20, loss=1 / step))
    assert said.getvalue().splitlines() == [
        "epoch 3/4: step 6 of 20, loss 0.167, 6 min left",
        "epoch 3/4: step 12 of 20, loss 0.083, 5 min left",
        "epoch 3/4: step 18 of 20, loss 0.056, 4 min left",
    ]


def test_the_curves_mark_the_epoch_that_is_kept(tmp_path):
    history = [
        {"epoch": n, "train_loss": 1.0, "val_loss": 1.0, "val_iou": iou, "val_iou_by_dataset": {"a": iou}}
        for n, iou in enumerate((0.2, 0.5, 0.5, 0.4), start=1)
    ]
    draw_curves(history, tmp_path / "curves.svg")  # which holds its text
    assert best_epoch(history) == 3
    assert "best: 0.500, epoch 3" in (tmp_path / "curves.svg").read_text()


@pytest.mark.parametrize(
    ("schedule", "done", "factor"),
    [
        ("constant", 0.7, 1.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 0.5, 0.5),
        ("one-cycle", 0.0, 0.04),
        ("one-cycle", 0.15, 1.0),
        ("one-cycle", 1.0, 0.0),
    ],
)
def test_schedules(schedule, done, factor):
    assert schedule_factor(schedule, done) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(("recipe", "side"), [(LIGHT, 96), (SEED, 32)])
def test_networks_give_a_logit_a_class_and_pixel(recipe, side):
    net = build(recipe.architecture).eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 1, side, 2 * side)).shape == (2, 4, side, 2 * side)


def test_the_classic_net_has_the_published_size():
    # Ronneberger et al. 2015 with one input channel, four classes and batch normalisation: 31 million.
    assert sum(p.numel() for p in build(SEED.architecture).parameters()) / 1e6 == pytest.approx(31.04, abs=0.01)


def test_the_seed_recipe_is_the_one_this_project_started_from():
    assert (SEED.learning_rate, SEED.batch_size, SEED.epochs, SEED.canvas) == (1e-3, 5, 35, 512)
    assert (SEED.weight_decay, SEED.dice_weight, SEED.schedule, SEED.augmentation) == (
        0,
        0,
        "constant",
        "quadruple",
    )


def test_the_command_makes_a_run_that_can_be_scored(squares, tmp_path, capsys):
    out = tmp_path / "run"
    call = ["train", str(squares), "--out", str(out), "--canvas", "64", "--epochs", "1", "--batch-size", "4"]
    call += ["--device", "cpu", "--seed", "1"]
    leave(call, 0)
    metrics = json.loads((out / "metrics.json").read_text())
    result = metrics["results"][squares.name]
    assert result["split"] == "test"
    assert result["loss"] > 0
    assert set(result["iou"]) == {"background", "normal_lung", "ground_glass", "consolidation", "mean", "mean_present"}
    for picture in ("curves.png", "panels.png"):
        assert cv2.imread(str(out / picture)).std() > 1
    capsys.readouterr()
    leave(["evaluate", str(out / BEST), str(squares), "--json"], 0)
    scored = json.loads(capsys.readouterr().out)[squares.name]
    assert scored["slices"] == 2  # those validated and tested on, not those learnt from
    assert scored["groups"] == sorted(metrics_groups(out, squares.name))
    leave(call, 2)
    assert "already holds a run" in capsys.readouterr().err
    leave([*call, "--resume"], 0)
    assert json.loads((out / "metrics.json").read_text()) == metrics
    leave([*call, "--resume", "--learning-rate", "0.5"], 2)


@pytest.fixture(scope="module")
def ended(squares, tmp_path_factory):
    """The call of a run, and its folder."""
    out = tmp_path_factory.mktemp("ended") / "run"
    call = ["train", str(squares), "--canvas", "32", "--epochs", "2", "--batch-size", "4", "--device", "cpu"]
    leave([*call, "--out", str(out)], 0)
    return call, out


@pytest.mark.parametrize(
    ("lost", "options", "said"),
    [
        (
            ["recipe.json"],
            ["--seed", "5"],
            "already holds a run (last.pt): its recipe.json is lost: name another folder",
        ),
        (["recipe.json", "last.pt"], [], "already holds a run (best.pt): its recipe.json is lost"),
        ([], [], "already holds a run (last.pt): continue it with --resume, or name another folder"),
        (["last.pt"], ["--resume"], "holds best.pt but not last.pt, without which its run can't be continued"),
        (["best.pt"], ["--resume"], "holds last.pt but not best.pt, the best epoch so far"),
        (["best.pt", "last.pt", "recipe.json"], ["--resume"], "holds no run to continue"),
    ],
)
def test_a_run_of_which_a_part_is_lost_is_neither_continued_nor_overwritten(
    ended, tmp_path, capsys, lost, options, said
):
    call, out = ended
    shutil.copytree(out, tmp_path / "run")
    for name in lost:
        (tmp_path / "run" / name).unlink()
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    leave([*call, "--out", str(tmp_path / "run"), *options], 2)
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir() if file.name in before} == before


@pytest.mark.parametrize("is_best_whole", [True, False])
def test_a_damaged_last_checkpoint_leaves_the_best_to_build_on(ended, tmp_path, capsys, is_best_whole):
    call, out = ended
    shutil.copytree(out, tmp_path / "run")
    for name in ("last.pt",) if is_best_whole else ("last.pt", BEST):
        file = tmp_path / "run" / name
        file.write_bytes(file.read_bytes()[:-1000])
    leave([*call, "--out", str(tmp_path / "run"), "--resume"], 2)
    said = capsys.readouterr().err.replace("\n", " ")
    assert "last.pt is not a checkpoint of ctseg train, or is damaged" in said
    assert (f"in another folder, with --start {tmp_path / 'run' / BEST} to build on it" in said) is is_best_whole


def test_a_run_that_was_killed_between_its_first_two_files_begins_anew(ended, tmp_path):
    call, out = ended
    again = tmp_path / "run"
    again.mkdir()
    shutil.copy(out / "recipe.json", again)
    best = checkpoint.load(out / BEST)
    first = replace(best, scores={"validation": {"epoch": 1}}, temperature=None)
    checkpoint.save(first, again / BEST)
    leave([*call, "--out", str(again), "--resume"], 0)
    assert (
        json.loads((again / "metrics.json").read_text())["results"]
        == json.loads((out / "metrics.json").read_text())["results"]
    )


def test_an_epoch_is_judged_by_slices_of_which_something_is_known(squares, tmp_path, monkeypatch):
    """However few are looked at: here one, and all but one may be anything."""
    monkeypatch.setattr("ctseg.training.fit._VALIDATED_A_DATASET", 1)
    shutil.copytree(squares / "image", tmp_path / "data/image")
    shutil.copytree(squares / "mask", tmp_path / "data/mask")
    for patient in (0, 1, 3, 4):
        cv2.imwrite(str(tmp_path / f"data/mask/{patient}/0.png"), np.full((40, 40), 9, np.uint8))
    classes = ["background", "normal_lung", "ground_glass", "consolidation"]
    values = {**{str(value): [name] for value, name in enumerate(classes)}, "9": classes}
    rows = [f"{patient}/0.png,{patient},{'train' if patient == 5 else 'val'}" for patient in range(6)]
    (tmp_path / "data/index.csv").write_text("\n".join(["file,patient,split", *rows]))
    described = {"name": "own", "images": "image", "masks": "mask", "index": "index.csv", "group": "patient"}
    (tmp_path / "data/dataset.json").write_text(json.dumps({**described, "mask_values": values}))
    call = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--canvas", "32", "--epochs", "3"]
    leave([*call, "--batch-size", "4", "--device", "cpu", "--patience", "1"], 0)
    history = json.loads((tmp_path / "run/metrics.json").read_text())["history"]
    assert all(0 < line["val_iou"] <= 1 for line in history)


def test_a_record_that_is_damaged_is_another_one(ended, tmp_path, capsys):
    call, out = ended
    shutil.copytree(out, tmp_path / "run")
    (tmp_path / "run/recipe.json").write_bytes(b"\xbf")
    leave([*call, "--out", str(tmp_path / "run"), "--resume"], 2)
    assert "holds a run with a different recipe" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["image/run", "mask/3", "."])
def test_nothing_is_written_among_the_slices_of_a_data_set(squares, capsys, where):
    leave(["train", str(squares), "--out", str(squares / where), "--canvas", "32"], 2)
    assert "it is a data set, to which nothing is written" in capsys.readouterr().err
    assert not (squares / "image/run").exists()


def test_nothing_is_written_among_slices_that_are_linked_to(squares, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for name in ("image", "mask"):
        shutil.copytree(squares / name, tmp_path / "store" / name)
        (tmp_path / "data" / name).symlink_to(tmp_path / "store" / name)
    leave(["train", str(tmp_path / "data"), "--out", str(tmp_path / "data/image/run"), "--canvas", "32"], 2)
    assert "it is a data set, to which nothing is written" in capsys.readouterr().err


def test_a_run_may_lie_beside_the_slices(ended, squares):
    call, _ = ended
    leave([*call, "--out", str(squares / "runs/1")], 0)
    shutil.rmtree(squares / "runs")


def test_a_picture_that_cant_be_written_is_named_after_the_scores_are_told(squares, tmp_path, capsys):
    (tmp_path / "run/curves.png").mkdir(parents=True)
    call = ["train", str(squares), "--out", str(tmp_path / "run"), "--canvas", "32", "--epochs", "1"]
    leave([*call, "--batch-size", "4", "--device", "cpu"], 2)
    said = capsys.readouterr().err
    assert "IoU" in said
    assert said.splitlines()[-1] == f"error: {tmp_path / 'run/curves.png'} can't be written: Is a directory"
    assert not list((tmp_path / "run").glob(".*.tmp"))


def test_a_run_is_not_gone_on_with_on_other_groups(squares, tmp_path, capsys):
    """Else patients that it learnt from would be scored as new to it."""
    call = ["train", str(squares), "--out", str(tmp_path / "run"), "--canvas", "32", "--epochs", "1"]
    call += ["--batch-size", "4", "--device", "cpu"]
    leave([*call, "--validation-group", "1"], 0)
    for other in ([], ["--validation-group", "2"]):
        leave([*call, *other, "--resume"], 2)
        assert "a different recipe, slices, labels or groups" in capsys.readouterr().err
    leave([*call, "--validation-group", "1", "--resume"], 0)


@pytest.mark.parametrize("part", ["image", "mask"])
def test_a_run_is_not_gone_on_with_on_other_slices_of_the_same_names(squares, tmp_path, capsys, monkeypatch, part):
    monkeypatch.setattr("ctseg.training.train.run", lambda *_: None)
    data, out = shutil.copytree(squares, tmp_path / "data"), tmp_path / "run"
    call = ["train", str(data), "--out", str(out), "--device", "cpu"]
    leave(call, 0)
    leave([*call, "--resume"], 0)
    changed = data / part / "3" / "0.png"
    pixels = cv2.imread(str(changed), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(changed), np.where(pixels == pixels.max(), 0, pixels))
    leave([*call, "--resume"], 2)
    assert "a different recipe, slices, labels or groups" in capsys.readouterr().err


def test_a_run_is_not_gone_on_with_when_mask_values_mean_something_else(squares, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ctseg.training.train.run", lambda *_: None)
    call = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    meaning = {str(n): [name] for n, name in enumerate(("background", "normal_lung", "ground_glass", "consolidation"))}
    describe(squares, tmp_path / "data", meaning)
    leave(call, 0)
    describe(squares, tmp_path / "data", {**meaning, "3": ["ground_glass", "consolidation"]})
    leave([*call, "--resume"], 2)
    assert "a different recipe, slices, labels or groups" in capsys.readouterr().err


def test_pixels_that_may_be_any_class_do_not_count_and_join_none(squares, tmp_path, capsys):
    names = ("background", "normal_lung", "ground_glass", "consolidation")
    meaning = {str(n): [name] for n, name in enumerate(names)}
    shutil.copytree(squares, tmp_path / "open")
    for mask in (tmp_path / "open/mask/1").iterdir():
        cv2.imwrite(str(mask), np.full((40, 40), 255, np.uint8))
    describe(squares, tmp_path / "plain", meaning, "d")
    describe(squares, tmp_path / "unused", {**meaning, "255": names}, "d")
    describe(tmp_path / "open", tmp_path / "none", {**meaning, "255": names}, "d")
    found = []
    for data in ("plain", "unused"):
        call = ["train", str(tmp_path / data), "--out", str(tmp_path / f"{data} run"), "--validation-group", "1"]
        leave([*call, "--canvas", "32", "--epochs", "1", "--batch-size", "4", "--device", "cpu"], 0)
        found.append(json.loads((tmp_path / f"{data} run/metrics.json").read_text()))
        del found[-1]["history"][0]["seconds"]
    plain, unused = found
    assert unused == plain
    out = tmp_path / "none run"
    leave(["train", str(tmp_path / "none"), "--out", str(out), "--validation-group", "1", "--canvas", "32"], 2)
    assert "no labelled slice is left to validate on" in capsys.readouterr().err
    assert not (out / "last.pt").exists()


def test_names_are_told_as_they_are(squares, tmp_path, capsys):
    """Also those that a terminal or a chart would take for marks of its own."""
    name = "mine [/x] [v2] $a_{$"
    meaning = {str(n): [name] for n, name in enumerate(("background", "normal_lung", "ground_glass", "consolidation"))}
    describe(squares, tmp_path / "data", meaning, name)
    run = tmp_path / "run[" / "1]"
    call = ["train", str(tmp_path / "data"), "--out", str(run), "--canvas", "32", "--epochs", "1"]
    leave([*call, "--batch-size", "4", "--device", "cpu"], 0)
    said = capsys.readouterr().err
    assert f"({name} 0." in said
    assert f"{name}: 1 slice (test)" in said
    assert f"the best checkpoint is {run / BEST};" in said
    leave(["evaluate", str(run / BEST), str(tmp_path / "data")], 0)
    assert f"{name}: 2 slices (held-out)" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")
def test_a_patient_may_have_any_name_that_a_folder_may_have(squares, tmp_path, capsys):
    names = (os.fsdecode(b"Ren\xe9"), "\u60a3\u8005")
    for part in ("image", "mask"):
        folder = shutil.copytree(squares / part, tmp_path / "data" / part)
        for number, name in enumerate(names):
            (folder / str(number)).rename(folder / name)
    call = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--canvas", "32", "--epochs", "1"]
    for name in names:
        call += ["--validation-group", name]
    leave([*call, "--batch-size", "4", "--device", "cpu"], 0)
    assert "Glyph" not in capsys.readouterr().err
    leave(["evaluate", str(tmp_path / "run" / BEST), str(tmp_path / "data"), "--json"], 0)
    assert json.loads(capsys.readouterr().out)["data"]["groups"] == sorted(names)
    leave(["evaluate", "fast", str(tmp_path / "data")], 0)


def describe(squares, folder, meaning, name="described"):
    """The squares by a dataset.json."""
    folder.mkdir(exist_ok=True)
    files = [f"{patient}/0.png,{patient}" for patient in range(6)]
    (folder / "index.csv").write_text("\n".join(["file,patient", *files]))
    places = {"images": str(squares / "image"), "masks": str(squares / "mask"), "index": "index.csv"}
    said = {"name": name, "group": "patient", "mask_values": meaning, **places}
    (folder / "dataset.json").write_text(json.dumps(said))


def test_a_group_that_is_to_validate_but_is_nowhere_is_refused(squares, tmp_path, capsys):
    leave(
        ["train", str(squares), "--out", str(tmp_path / "run"), "--validation-group", "1", "--validation-group", "x"], 2
    )
    assert "--validation-group x: no data set has a group (patient) of that name" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--seed", "--threads", "--canvas"])
def test_a_number_beyond_any_use_is_refused_and_leaves_nothing(squares, tmp_path, capsys, option):
    leave(["train", str(squares), "--out", str(tmp_path / "run"), "--device", "cpu", option, str(2**70)], 2)
    assert option in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_batch_has_room_for_a_slice_of_each_data_set(squares, tmp_path, capsys):
    shutil.copytree(squares, tmp_path / "more")
    call = ["train", str(squares), str(tmp_path / "more"), "--canvas", "64", "--device", "cpu"]
    leave([*call, "--batch-size", "1", "--out", str(tmp_path / "run")], 2)
    assert "--batch-size 1 is too small" in capsys.readouterr().err
    leave([*call, "--batch-size", "2", "--cutmix", "0.5", "--out", str(tmp_path / "run")], 2)
    assert "no batch has two of any set: --batch-size 4 has two of each" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", ["light", "teacher"])
def test_a_batch_has_more_than_one_pixel_at_the_lowest_level(squares, tmp_path, capsys, preset):
    call = ["train", str(squares), "--preset", preset, "--canvas", "32", "--out", str(tmp_path / "run")]
    leave([*call, "--batch-size", "1"], 2)
    assert "--canvas 32 is too small for --batch-size 1: give --canvas 64" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    for enough in ({"canvas": 64, "batch_size": 1}, {"canvas": 32, "batch_size": 2}):
        recipe = choose_recipe(preset, enough)
        seen = torch.zeros(recipe.batch_size, 1, recipe.canvas, recipe.canvas)
        assert build(recipe.architecture).train()(seen).shape[2:] == seen.shape[2:]


def test_a_student_learns_from_a_teacher(squares, tmp_path):
    common = [str(squares), "--canvas", "32", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    teacher = tmp_path / "teacher" / BEST
    leave(["train", *common, "--out", str(tmp_path / "teacher")], 0)
    leave(["train", *common, "--out", str(tmp_path / "student"), "--teacher", str(teacher)], 0)
    again = ["train", *common, "--out", str(tmp_path / "student"), "--resume"]
    leave(again, 2)  # without its teacher, it would be another run
    leave([*again, "--teacher", str(teacher)], 0)
    (noted,) = checkpoint.load(tmp_path / "student" / BEST).training["teachers"]
    assert noted["preset"] == "light"
    one, other = weights(teacher), weights(tmp_path / "student" / BEST)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_a_teacher_uses_the_threads_that_are_given(squares, tmp_path, monkeypatch):
    used = set()

    def soft_labels(teacher, sample):
        used.add(torch.get_num_threads())
        return np.zeros((32, 32, 4), np.uint8)

    monkeypatch.setattr(Teacher, "soft_labels", soft_labels)
    monkeypatch.setattr("ctseg.training.train.run", lambda *_: None)
    before = torch.get_num_threads()
    try:
        call = ["train", str(squares), "--teacher", "fast", "--device", "cpu", "--threads", str(before + 1)]
        leave([*call, "--out", str(tmp_path / "run")], 0)
    finally:
        torch.set_num_threads(before)
    assert used == {before + 1}


@pytest.mark.parametrize("option", ["--plain", "--cutmix"])
def test_a_recipe_that_varies_no_slice_at_random_needs_no_share_of_them(squares, tmp_path, capsys, option):
    leave(["train", str(squares), "--preset", "seed", option, "0.5", "--out", str(tmp_path / "run")], 2)
    assert f"{option} does nothing with the preset seed" in capsys.readouterr().err


def test_a_share_of_the_start_needs_one(squares, tmp_path, capsys):
    leave(["train", str(squares), "--start-share", "0.5", "--out", str(tmp_path / "run")], 2)
    assert "--start-share averages with the weights of --start, which is not given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("offsets", "reason"),
    [
        (["background=-1"], "changes the network of --start, which is not given"),
        (["lungs=-1"], "no class is called 'lungs'; the classes are background, normal_lung"),
        (["background"], "write CLASS=NUMBER, such as background=-0.5"),
        (["background=nan"], "the offset is nan, which is not a number"),
        (["ground_glass=1", "ground_glass=2"], "ground glass has an offset already"),
    ],
)
def test_an_offset_needs_a_start_and_a_class_and_a_number(squares, tmp_path, capsys, offsets, reason):
    options = [part for offset in offsets for part in ("--logit-offset", offset)]
    leave(["train", str(squares), *options, "--out", str(tmp_path / "run")], 2)
    assert reason in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_figures_of_a_network_do_not_hold_for_it_with_an_offset(squares, tmp_path, capsys):
    call = ["train", str(squares), "--start", "fast", "--learning-rate", "0", "--epochs", "1", "--device", "cpu"]
    call += ["--canvas", "32", "--batch-size", "4", "--all-groups", "--logit-offset", "background=-1"]
    leave([*call, "--out", str(tmp_path / "run")], 0)
    assert "this run will have no figures and no temperature" in " ".join(capsys.readouterr().err.split())
    made = checkpoint.load(tmp_path / "run" / BEST)
    assert (made.temperature, made.scores) == (None, {})


def test_an_offset_makes_a_class_more_or_less_likely(squares, tmp_path):
    at_rest = ["--start", "fast", "--learning-rate", "0", "--start-share", "1", "--epochs", "1", "--device", "cpu"]
    offsets = ["--logit-offset", "background=-1000", "--logit-offset", "consolidation=1000"]
    small = ["--canvas", "32", "--batch-size", "4"]
    leave(["train", str(squares), *at_rest, *offsets, *small, "--out", str(tmp_path / "run")], 0)
    before, after = open_network(find_model("fast")), checkpoint.load(tmp_path / "run" / BEST)
    added = after.net.get_parameter("head.bias") - before.net.get_parameter("head.bias")
    torch.testing.assert_close(added, torch.tensor([-1000.0, 0, 0, 1000]))
    assert after.recipe.logit_offset == {"background": -1000.0, "consolidation": 1000.0}
    dice = after.scores[squares.name]["dice"]
    assert (dice["background"], dice["normal_lung"]) == (0, 0)  # all is consolidation now


def test_a_run_may_begin_where_another_ended_and_hold_no_group_back(squares, tmp_path, capsys):
    common = ["train", str(squares), "--canvas", "32", "--batch-size", "4", "--device", "cpu"]
    first, final = tmp_path / "first" / BEST, tmp_path / "final"
    leave([*common, "--epochs", "1", "--out", str(first.parent)], 0)
    going_on = [*common, "--epochs", "2", "--learning-rate", "0", "--start", str(first), "--out", str(final)]
    leave([*going_on, "--all-groups", "--patience", "1"], 2)
    assert "holds no group out" in capsys.readouterr().err
    leave([*going_on, "--all-groups"], 0)
    began, ended = checkpoint.load(first), checkpoint.load(final / BEST)
    # At a learning rate of nothing the weights stay as they were; only batch normalisation still counts.
    learnt = [name for name, _ in began.net.named_parameters()]
    assert all(torch.equal(began.net.state_dict()[n], ended.net.state_dict()[n]) for n in learnt)
    assert ended.temperature == began.temperature is not None
    (described,) = ended.training["datasets"]
    assert described["groups"] == {"train": [str(n) for n in range(6)], "val": [], "test": []}
    assert (ended.training["all_groups"], ended.training["start"][0]["preset"]) == (True, "light")
    metrics = json.loads((final / "metrics.json").read_text())
    before = json.loads((first.parent / "metrics.json").read_text())["results"][squares.name]
    assert metrics["best_epoch"] == 2
    assert metrics["results"][squares.name] == {**before, "of": "the network that it began with"}
    capsys.readouterr()
    leave([*going_on, "--all-groups", "--resume"], 0)
    leave([*common, "--epochs", "2", "--learning-rate", "0", "--all-groups", "--out", str(final), "--resume"], 2)
    leave(["evaluate", str(final / BEST), str(squares)], 2)
    assert "no slices of it are held-out" in capsys.readouterr().err


def test_a_run_may_begin_with_the_mean_of_several_networks(squares, tmp_path, capsys):
    common = ["train", str(squares), "--canvas", "32", "--batch-size", "4", "--epochs", "1", "--device", "cpu"]
    parts = [tmp_path / name / BEST for name in ("fast", "slow")]
    for part, rate in zip(parts, ("0.003", "0.001"), strict=True):
        leave([*common, "--learning-rate", rate, "--out", str(part.parent)], 0)
    starts = ["--start", str(parts[0]), "--start", str(parts[1])]
    out = tmp_path / "mean"
    leave([*common, *starts, "--learning-rate", "0", "--start-share", "1", "--out", str(out)], 0)
    mean, one, other = map(checkpoint.load, (out / BEST, *parts))
    last = "head.bias"  # of no layer with a normalisation, which is folded in
    expected = (one.net.state_dict()[last] + other.net.state_dict()[last]) / 2
    torch.testing.assert_close(mean.net.state_dict()[last], expected)
    assert [told["sha256"] for told in mean.training["start"]] == list(map(file_digest, parts))
    assert mean.temperature is not None
    capsys.readouterr()
    leave([*common, *starts, "--all-groups", "--out", str(tmp_path / "final")], 0)
    assert "this run will have no figures and no temperature" in " ".join(capsys.readouterr().err.split())


def test_figures_of_a_run_that_held_groups_back_may_stand_for_one_that_holds_none(squares, tmp_path, capsys):
    common = ["train", str(squares), "--canvas", "32", "--batch-size", "4", "--device", "cpu", "--epochs", "1"]
    alike, final = tmp_path / "alike" / BEST, tmp_path / "final" / BEST
    figures_of = ["--figures-of", str(alike)]
    leave([*common, "--out", str(alike.parent)], 0)
    leave([*common, *figures_of, "--out", str(final.parent)], 2)
    assert "--figures-of is only for --all-groups" in capsys.readouterr().err
    leave([*common, "--all-groups", *figures_of, "--out", str(final.parent)], 0)
    theirs, own = checkpoint.load(alike), checkpoint.load(final)
    assert own.temperature == theirs.temperature is not None
    said = {**theirs.scores[squares.name], "of": "one that was trained alike, but held groups back"}
    assert own.scores == {squares.name: said}
    assert "start" not in own.training
    assert own.training["figures_of"]["sha256"] == file_digest(alike)
    capsys.readouterr()
    leave([*common, "--all-groups", "--out", str(final.parent), "--resume"], 2)
    assert "a different recipe" in " ".join(capsys.readouterr().err.split())
    assert checkpoint.load(final).temperature == theirs.temperature
    elsewhere = {"datasets": [{"name": "elsewhere", "groups": {}, "learnt_from": []}]}
    checkpoint.save(replace(theirs, training=elsewhere), tmp_path / "elsewhere.pt")
    other = replace(theirs.recipe, preparation=Preparation(long_side=64))
    checkpoint.save(replace(theirs, recipe=other), tmp_path / "other.pt")
    for file, status, said in (
        ("elsewhere.pt", 0, "was trained on other data sets: its figures and temperature may not hold"),
        ("other.pt", 2, "has a different preparation of slices from the one that the preset light trains"),
    ):
        leave([*common, "--all-groups", "--figures-of", str(tmp_path / file), "--out", str(tmp_path / "third")], status)
        assert said in " ".join(capsys.readouterr().err.split())
    leave([*common, "--all-groups", "--figures-of", str(final), "--out", str(tmp_path / "other")], 2)
    assert "held no groups out, so it has no figures of its own" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("sharpness", "temperature"), [(0.01, 0.25), (1.0, None), (100.0, 4.0)])
def test_a_temperature_at_a_bound_is_warned_of(squares, tmp_path, capsys, monkeypatch, sharpness, temperature):
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(0, 2, (5000, 4)))
    truth = torch.multinomial(logits.softmax(dim=1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    allowed = (1 << truth.numpy()).astype(np.uint8)
    pixels = calibrate.ValidationPixels("d", (sharpness * logits).float(), allowed, ((0,), (1,), (2,), (3,)))
    monkeypatch.setattr(calibrate, "collect_logits", lambda *_: [pixels])
    call = ["train", str(squares), "--canvas", "32", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    leave([*call, "--out", str(tmp_path / "run")], 0)
    said = " ".join(capsys.readouterr().err.split())
    assert ("warning: the temperature is at a bound of the range tried, 0.25 to 4," in said) == (
        temperature is not None
    )
    found = json.loads((tmp_path / "run/metrics.json").read_text())["temperature"]
    assert found == (temperature or pytest.approx(1, rel=0.1))


def test_a_run_without_lung_among_what_is_held_out_has_no_temperature_not_that_of_its_start(
    squares, tmp_path, capsys, monkeypatch
):
    common = ["train", str(squares), "--canvas", "32", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    leave([*common, "--out", str(tmp_path / "first")], 0)
    assert checkpoint.load(tmp_path / "first" / BEST).temperature is not None
    monkeypatch.setattr(calibrate, "collect_logits", lambda *_: [])
    capsys.readouterr()
    leave([*common, "--start", str(tmp_path / "first" / BEST), "--out", str(tmp_path / "second")], 0)
    assert "there is nothing to calibrate by" in " ".join(capsys.readouterr().err.split())
    assert checkpoint.load(tmp_path / "second" / BEST).temperature is None


def test_a_start_whose_run_had_not_ended_has_no_figures_to_hand_on(squares, tmp_path, capsys):
    common = ["train", str(squares), "--canvas", "32", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    leave([*common, "--out", str(tmp_path / "first")], 0)
    capsys.readouterr()
    final = [*common, "--start", str(tmp_path / "first" / LAST), "--all-groups", "--out", str(tmp_path / "final")]
    leave(final, 0)
    assert "has no temperature and no figures to hand on" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "final" / "metrics.json").read_text())
    assert (metrics["results"], metrics["temperature"]) == ({}, None)
    leave([*final, "--resume"], 0)


def test_a_start_that_learnt_from_a_group_held_back_is_refused(squares, tmp_path, capsys):
    common = ["train", str(squares), "--canvas", "32", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
    leave([*common, "--out", str(tmp_path / "first"), "--validation-group", "1"], 0)
    start = ["--start", str(tmp_path / "first" / BEST)]
    leave([*common, *start, "--out", str(tmp_path / "other"), "--validation-group", "2"], 2)
    assert "trained on 2 of squares" in " ".join(capsys.readouterr().err.split())


def test_a_start_that_knows_a_data_set_by_another_name_is_warned_of(squares, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ctseg.training.train.run", lambda *_: None)
    renamed = shutil.copytree(squares, tmp_path / "mine [v2]")
    begin = ["train", str(renamed), "--device", "cpu", "--start", "fast", "--out", str(tmp_path / "run")]
    leave([*begin, "--validation-group", "2"], 0)
    assert "fast knows no data set named mine [v2], only covid_ct_md, covid_ct_seg, " in capsys.readouterr().err


def test_the_shipped_model_may_be_gone_on_with_and_teach(squares, tmp_path, capsys):
    out, shipped = tmp_path / "mine", find_model("fast")
    call = ["train", str(squares), "--canvas", "64", "--batch-size", "4", "--epochs", "1", "--device", "cpu"]
    call += ["--learning-rate", "0", "--start", "fast", "--teacher", "fast", "--out", str(out), "--all-groups"]
    leave(call, 0)
    inherited = capsys.readouterr().err.partition("of one that was trained alike, but held groups back")[2]
    places = [inherited.index(word) for word in ("background", "lung", "glass", "consolidation", "present")]
    assert places == sorted(places)
    mine = checkpoint.load(out / BEST)
    before, after = (net.encoder[2][1].first[0].weight.flatten() for net in (open_network(shipped).net, mine.net))
    rows = before.view(48, -1), after.view(48, -1)
    assert torch.cosine_similarity(*rows).min() > 0.9999  # sizes are brought to those that training begins with
    digest = sha256(shipped.read_bytes()).hexdigest()
    assert [one["sha256"] for one in (*mine.training["start"], *mine.training["teachers"])] == [digest] * 2
    spec = export_model(out / BEST, tmp_path / "mine.onnx").spec
    learnt = learnt_groups(spec.training["datasets"])
    assert learnt > learnt_groups(open_network(shipped).training["datasets"])
    assert spec.licence.startswith("medseg: non-commercial use only")
    assert spec.scores["medseg"]["iou"] == open_network(shipped).scores["medseg"]["iou"]


def test_named_validation_groups_leave_all_others_to_train(squares):
    splits = load_samples(read_dataset(squares), 0, ["2", "4"]).splits
    assert {s.group for s in splits["val"]} == {"2", "4"}
    assert {s.group for s in splits["train"]} == {"0", "1", "3", "5"}
    assert not splits["test"]


def metrics_groups(out, name):
    (described,) = checkpoint.load(out / BEST).training["datasets"]
    assert described["name"] == name
    return described["groups"]["val"] + described["groups"]["test"]


def leave(call, status):
    with pytest.raises(SystemExit) as left:
        main(call)
    assert (left.value.code or 0) == status


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    torch.save({"format": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(ModelError, match="is not a checkpoint of ctseg train"):
        checkpoint.load(tmp_path / "bomb.pt")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"text"])
def test_files_that_are_no_checkpoint_are_refused(tmp_path, content):
    (tmp_path / "odd.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"odd\.pt"):
        checkpoint.load(tmp_path / "odd.pt")


def test_another_programs_checkpoint_is_refused(tmp_path):
    torch.save({"model": torch.zeros(3)}, tmp_path / "theirs.pt")
    with pytest.raises(ModelError, match="not a ctseg checkpoint"):
        checkpoint.load(tmp_path / "theirs.pt")
    with pytest.raises(ModelError, match="no checkpoint"):
        checkpoint.load(tmp_path / "none.pt")
