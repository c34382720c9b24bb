import json
import shutil
from dataclasses import replace

import onnx
import pytest
import torch

from ctseg.cli import main
from ctseg.datasets.learnt_groups import group_digest
from ctseg.model import to_metadata
from ctseg.phantom import Phantom, write_dataset
from ctseg.runtime import open_on_cpu
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.networks import build
from ctseg.training.recipe import LIGHT, Architecture


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set of six patients, a checkpoint that says it learnt from some of them, and the model file made of it."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_dataset([Phantom(seed=n, slices=2, size=64) for n in range(6)], folder / "data")
    recipe = replace(LIGHT, architecture=Architecture("light", (8, 16), (0, 1)))
    groups = {"train": ["0", "1", "2", "3"], "val": ["4"], "test": ["5"]}
    slices = {split: 2 * len(names) for split, names in groups.items()}
    digests = [group_digest("data", group) for group in groups["train"]]
    described = {
        "name": "data", "slices": slices, "groups": groups, "learnt_from": digests, "licence": "", "citation": "",
    }  # fmt: skip
    (folder / "run").mkdir()
    torch.manual_seed(0)  # some random networks find no background
    learnt = Checkpoint(build(recipe.architecture).eval(), recipe, {"datasets": [described], "seed": 0}, {}, {})
    checkpoint.save(learnt, folder / "run" / "best.pt")
    leave(["export", str(folder / "run" / "best.pt"), "--out", str(folder / "model.onnx")])
    return folder


def leave(arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert not left.value.code


def evaluate(folder, model, capsys, *options):
    capsys.readouterr()
    leave(["evaluate", str(folder / model), str(folder / "data"), "--json", *options])
    return json.loads(capsys.readouterr().out)["data"]


def test_a_model_file_knows_whom_it_learnt_from_and_is_scored_on_the_others(trained, capsys):
    by_checkpoint = evaluate(trained, "run/best.pt", capsys)
    by_file = evaluate(trained, "model.onnx", capsys)
    assert by_file["groups"] == by_checkpoint["groups"]
    learnt = evaluate(trained, "model.onnx", capsys, "--slices", "train")["groups"]
    assert learnt
    assert sorted([*learnt, *by_file["groups"]]) == ["0", "1", "2", "3", "4", "5"]


def test_a_model_file_that_does_not_tell_whom_it_learnt_from_is_refused(trained, capsys):
    spec = open_on_cpu(trained / "model.onnx")[1]
    untold = replace(spec, training={**spec.training, "datasets": [{"name": "data"}]})
    graph = onnx.load(trained / "model.onnx")
    onnx.helper.set_model_props(graph, to_metadata(untold))
    onnx.save(graph, trained / "untold.onnx")
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(trained / "untold.onnx"), str(trained / "data")])
    assert left.value.code == 2
    assert "lacks the patients that it was trained on" in capsys.readouterr().err


def test_a_model_file_scores_as_its_checkpoint_does(trained, capsys):
    by_checkpoint = evaluate(trained, "run/best.pt", capsys, "--slices", "all")
    by_file = evaluate(trained, "model.onnx", capsys, "--slices", "all")
    assert by_file["slices"] == 12
    # The checkpoint may be computed in bfloat16.
    assert by_file["iou"]["background"] == pytest.approx(by_checkpoint["iou"]["background"], abs=0.02)


def test_groups_may_be_named_so_that_two_models_are_scored_on_the_same(trained, capsys):
    held_back = evaluate(trained, "run/best.pt", capsys)["groups"]
    named = [part for group in held_back for part in ("--group", group)]
    assert evaluate(trained, "run/best.pt", capsys, *named) == evaluate(trained, "run/best.pt", capsys)
    assert evaluate(trained, "run/best.pt", capsys, "--group", held_back[0])["groups"] == held_back[:1]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(trained / "run" / "best.pt"), str(trained / "data"), "--group", "nobody"])
    assert left.value.code == 2
    assert "no data set here has the group 'nobody'" in capsys.readouterr().err


def test_what_the_truth_has_none_of_is_left_out_of_one_of_the_means(trained, capsys, tmp_path):
    write_dataset([Phantom(seed=9, slices=3, size=64, disease=0)], tmp_path / "healthy")
    capsys.readouterr()
    leave(["evaluate", str(trained / "model.onnx"), str(tmp_path / "healthy"), "--json"])
    found = json.loads(capsys.readouterr().out)["healthy"]
    for score in (found["iou"], found["dice"]):
        assert score["mean_present"] == pytest.approx((score["background"] + score["normal_lung"]) / 2)
    leave(["evaluate", str(trained / "model.onnx"), str(tmp_path / "healthy")])
    told = " ".join(capsys.readouterr().out.split())
    assert "mean present: over those in the reference; both include background" in told


def test_pixels_that_may_be_any_class_are_not_scored_and_join_none(trained, capsys, tmp_path):
    plain = evaluate(trained, "model.onnx", capsys, "--slices", "all")
    names = ("background", "normal_lung", "ground_glass", "consolidation")
    meaning = {**{str(n): [name] for n, name in enumerate(names)}, "255": names}
    described = describe(trained / "data", tmp_path, meaning)
    assert evaluate(described, trained / "model.onnx", capsys, "--slices", "all")["iou"] == plain["iou"]


def describe(data, folder, meaning):
    """The same data set by a dataset.json, beside it."""
    shutil.copytree(data, folder / "data")
    files = sorted(file.relative_to(data / "mask") for file in (data / "mask").glob("*/*"))
    (folder / "data/index.csv").write_text("\n".join(["file,patient", *(f"{file},{file.parent}" for file in files)]))
    places = {"images": "image", "masks": "mask", "index": "index.csv", "group": "patient"}
    (folder / "data/dataset.json").write_text(json.dumps({"name": "data", "mask_values": meaning, **places}))
    return folder


def test_a_slice_that_was_learnt_from_under_another_name_is_warned_of(trained, capsys, tmp_path):
    copied = shutil.copytree(trained / "data", tmp_path / "data")
    for part in ("image", "mask"):
        shutil.copytree(copied / part / "0", copied / part / "new")
    leave(["evaluate", str(trained / "model.onnx"), str(copied)])
    said = capsys.readouterr().err
    assert f"{copied / 'image/0/0000.png'} (trained on) and {copied / 'image/new/0000.png'} (held out) are the" in said


def test_a_slice_that_was_learnt_from_in_another_data_set_is_warned_of(trained, capsys, tmp_path):
    other = tmp_path / "other"
    for part in ("image", "mask"):
        shutil.copytree(trained / "data" / part / "0", other / part / "x")
    leave(["evaluate", str(trained / "model.onnx"), str(trained / "data"), str(other)])
    known, new = trained / "data/image/0/0000.png", other / "image/x/0000.png"
    assert f"{known} (trained on) and {new} (held out) are the" in capsys.readouterr().err


def test_what_was_learnt_from_is_told_to_be_no_independent_figure(trained, capsys):
    learnt = evaluate(trained, "model.onnx", capsys, "--slices", "train")
    groups = [part for group in learnt["groups"] for part in ("--group", group)]
    call = ["evaluate", str(trained / "model.onnx"), str(trained / "data"), *groups]
    with pytest.raises(SystemExit) as left:
        main(call)
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert (
        f"no slices of {', '.join(learnt['groups'])} are held-out for this model: it was trained on all of them" in told
    )
    assert "--slices all gives no independent figures" in told
    leave([*call, "--slices", "all"])
    assert f"{learnt['slices']} slices, {learnt['slices']} of them trained on" in capsys.readouterr().out
    assert evaluate(trained, "model.onnx", capsys, "--slices", "all")["learnt_from"] == learnt["slices"]
    assert evaluate(trained, "model.onnx", capsys)["learnt_from"] == 0


def test_a_data_set_that_was_wholly_learnt_from_does_not_keep_another_from_being_scored(trained, capsys, tmp_path):
    write_dataset([Phantom(seed=n, slices=2, size=64) for n in range(2)], tmp_path / "old" / "data")
    write_dataset([Phantom(seed=9, slices=2, size=64)], tmp_path / "new")
    call = ["evaluate", str(trained / "model.onnx"), str(tmp_path / "old" / "data")]
    capsys.readouterr()
    leave([*call, str(tmp_path / "new"), "--json"])
    said = capsys.readouterr()
    assert list(json.loads(said.out)) == ["new"]
    assert "data: no slices of it are held-out for this model: it was trained on all of them" in said.err
    with pytest.raises(SystemExit) as left:
        main(call)
    assert left.value.code == 2
    assert "data: no slices of it are held-out for this model: it was trained on all of them" in capsys.readouterr().err


def test_slices_in_values_that_the_model_does_not_take_are_refused(trained, capsys):
    spec = open_on_cpu(trained / "model.onnx")[1]
    graph = onnx.load(trained / "model.onnx")
    onnx.helper.set_model_props(graph, to_metadata(replace(spec, domains=("hu",))))
    onnx.save(graph, trained / "hu.onnx")
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(trained / "hu.onnx"), str(trained / "data")])
    assert left.value.code == 2
    assert ".png is in 8-bit grey, but this model takes Hounsfield units" in capsys.readouterr().err


def test_a_model_file_that_gives_other_labels_than_it_may_is_refused(trained, capsys):
    graph = onnx.load(trained / "model.onnx")
    (last,) = (node for node in graph.graph.node if "labels" in node.output)
    last.output[0] = "within"
    graph.graph.node.append(onnx.helper.make_node("BitwiseNot", ["within"], ["labels"]))
    onnx.save(graph, trained / "strange.onnx")
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(trained / "strange.onnx"), str(trained / "data")])
    assert left.value.code == 2
    assert "the model light gives the label 255, which is not a class" in capsys.readouterr().err


def test_a_choice_of_slices_that_there_is_none_of_names_its_option(trained, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", str(trained / "model.onnx"), str(trained / "data"), "--slices", "heldout"])
    told = capsys.readouterr().err
    assert told == "error: invalid value for '--slices': 'heldout' is not one of 'held-out', 'train', 'all'\n"


def test_it_warns_where_patients_could_be_new_by_their_data_sets_name_alone(trained, capsys, tmp_path):
    evaluate(trained, "model.onnx", capsys)
    renamed = shutil.copytree(trained / "data", tmp_path / "renamed [v2]")
    leave(["evaluate", str(trained / "model.onnx"), str(trained / "data")])
    assert "warning" not in capsys.readouterr().err
    for model in ("run/best.pt", "model.onnx"):
        leave(["evaluate", str(trained / model), str(renamed)])
        assert "knows no data set named renamed [v2], only data," in capsys.readouterr().err


def test_a_group_that_does_not_exist_is_named_before_anything_is_scored(trained, capsys, monkeypatch):
    monkeypatch.setattr("ctseg.training.evaluate.figures_of", lambda *_: pytest.fail("scored"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(trained / "model.onnx"), str(trained / "data"), "--group", "4", "--group", "44"])
    assert left.value.code == 2
    assert "no data set here has the group '44'" in capsys.readouterr().err
