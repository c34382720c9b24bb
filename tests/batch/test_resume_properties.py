"""Whatever happens to inputs, outputs and the journal in between, the next run comes to what a fresh one comes to."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

IMAGES = tuple(f"images/{number}.png" for number in range(4))
SLICES = tuple(f"series/{number:03d}.dcm" for number in range(4))
VOLUMES = ("ct.nii.gz", "more/ct.nii")
INPUTS = IMAGES + SLICES + VOLUMES
GREY = np.array([32, 96, 160, 224], np.uint8)

# What is done to the folders between two runs: a word, which of the files, and a number.
ACTS = st.tuples(
    st.sampled_from(["change", "change", "damage", "delete", "touch", "lose mask", "cut journal"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)


@pytest.fixture(scope="module")
def contents(draw, save_series, save_volume, tmp_path_factory) -> Callable[[str, int], bytes]:
    """What an input may hold, by its name and a number."""
    folder = tmp_path_factory.mktemp("contents")
    variants = []
    for variant in range(2):
        labels = np.stack([draw(10 * variant + seed, 64, 64) for seed in range(4)])
        variants.append([file.read_bytes() for file in save_series(folder / f"series{variant}", labels)])
        for ending in (".nii", ".nii.gz"):
            save_volume(folder / f"{variant}{ending}", labels[: 4 - variant])

    def content(name: str, number: int) -> bytes:
        variant = number % 2
        if name in IMAGES:
            return cv2.imencode(".png", GREY[draw(number % 5)])[1].tobytes()
        if name in SLICES:
            return variants[variant][SLICES.index(name)]
        return (folder / f"{variant}{name[name.index('.') :]}").read_bytes()

    return content


class Folders:
    """The inputs and OUT of one history."""

    def __init__(self, home: Path, contents: Callable[[str, int], bytes]) -> None:
        self.inputs, self.out = home / "in", home / "out"
        self._contents = contents
        self._now = itertools.count(10**18, 10**9)
        for name in INPUTS:
            self.write(name, contents(name, 0))

    def write(self, name: str, content: bytes) -> None:
        """Put a file in place, at a time of its own: two changes in a row may otherwise bear the same."""
        file = self.inputs / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, ns=(0, next(self._now)))

    def act(self, what: str, which: int, number: int) -> None:
        """Do one of the ACTS."""
        name = INPUTS[which % len(INPUTS)]
        masks = sorted((self.out / "masks").rglob("*.png"))
        journal = self.out / ".ctseg/journal.jsonl"
        if what == "change":
            self.write(name, self._contents(name, number))
        elif what == "damage":
            self.write(name, self._contents(name, number)[: number % 600])
        elif what == "delete":
            (self.inputs / name).unlink(missing_ok=True)
        elif what == "touch" and (self.inputs / name).exists():
            os.utime(self.inputs / name, ns=(0, next(self._now)))
        elif what == "lose mask" and masks:
            masks[which % len(masks)].unlink()
        elif what == "cut journal" and journal.exists():
            head = journal.read_bytes().index(b"\n") + 1
            os.truncate(journal, head + number % (journal.stat().st_size - head + 1))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.lists(ACTS, min_size=1, max_size=4), min_size=1, max_size=4))
def test_any_history_comes_to_what_a_fresh_run_comes_to(batch, contents, tmp_path, history):
    home = Path(tempfile.mkdtemp(dir=tmp_path))
    folders = Folders(home, contents)
    batch(folders.inputs, out=folders.out)
    for acts in history:
        for act in acts:
            folders.act(*act)
        if not any(folders.inputs.rglob("*.*")):
            return
        resumed, fresh = batch(folders.inputs, out=folders.out), batch(folders.inputs, out=home / "fresh")
        for key in ("scans", "totals", "skipped", "errors", "ignored"):
            assert resumed.summary[key] == fresh.summary[key], key
        assert resumed.status == fresh.status
        made = {name: (folders.out / "masks" / name).read_bytes() for name in resumed.times}
        expected = {name: (fresh.out / "masks" / name).read_bytes() for name in fresh.times}
        assert {name: content for name, content in made.items() if name in expected} == expected
        # The mask of an input that is there no more is kept: it may have been given by another call.
        assert [name for name in made.keys() - expected.keys() if (folders.inputs / name_of(name)).exists()] == []
        assert not list(folders.out.rglob("*.tmp"))
        shutil.rmtree(fresh.out)


def name_of(mask: str) -> str:
    """The input that a mask is of."""
    folder = mask.rpartition("/")[0]
    return folder if folder in VOLUMES else mask if mask in INPUTS else mask.removesuffix(".png")
