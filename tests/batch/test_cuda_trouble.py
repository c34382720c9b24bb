"""CUDA that fails in mid-run, simulated: the session is the CPU's, and raises what the device would."""

import dataclasses
import json

import numpy as np
import pytest

from ctseg_batch import job
from ctseg_batch.network import engine, fallback

OUT_OF_MEMORY = "CUDA failure 2: out of memory ; GPU=0\nand a long story"


class Device:
    """A session that runs so many slices at once, and none after so many calls."""

    def __init__(self, session, most, calls):
        self.session, self.most, self.calls = session, most, calls
        self.sizes = []

    def run(self, outputs, feeds):
        (batch,) = feeds.values()
        self.sizes.append(len(batch))
        if len(batch) > self.most or len(self.sizes) > self.calls:
            raise RuntimeError(OUT_OF_MEMORY)
        return self.session.run(outputs, feeds)


@pytest.fixture
def on_device(monkeypatch):
    """Open engines on a device that fails as it is told."""

    def simulate(most=100, calls=10**6):
        devices, on_cpu = [], []

        def opened(file, device, precision):
            real = engine.open_engine(file, "cpu", precision)
            if device == "cpu":
                on_cpu.append(real)
                return real
            devices.append(Device(real.session, most, calls))
            return dataclasses.replace(real, session=devices[-1], device="cuda", remark="on CUDA")

        monkeypatch.setattr(job, "open_engine", opened)
        monkeypatch.setattr(fallback, "open_engine", opened)
        return devices, on_cpu

    return simulate


@pytest.fixture
def scans(draw, save_slice, save_series, tmp_path):
    for number in range(20):
        save_slice(tmp_path / f"in/images/{number:02d}.png", draw(number))
    (tmp_path / "in/images/19.png").write_bytes(b"damaged")
    save_series(tmp_path / "in/series", np.stack([draw(seed, 64, 64) for seed in range(12)]))
    return tmp_path / "in"


def same_masks(one, other):
    assert one.masks.keys() == other.masks.keys()
    return all(np.array_equal(mask, other.masks[name]) for name, mask in one.masks.items())


def test_a_device_that_works_is_used_to_the_end(batch, scans, on_device, tmp_path):
    _, on_cpu = on_device()
    done = batch(scans, device="cuda", batch_size=8)
    assert done.summary["notes"] == []
    assert {scan["device"] for scan in done.scans.values()} == {"cuda"}
    assert on_cpu == []
    assert same_masks(done, batch(scans, out=tmp_path / "cpu"))


def test_out_of_memory_it_goes_on_with_smaller_batches(batch, scans, on_device, tmp_path):
    devices, on_cpu = on_device(most=3)
    done = batch(scans, device="cuda", batch_size=8, workers=1)
    assert done.summary["notes"] == [
        "CUDA failed (CUDA failure 2: out of memory ; GPU=0): continuing with batches of 4",
        "CUDA failed (CUDA failure 2: out of memory ; GPU=0): continuing with batches of 2",
    ]
    assert devices[0].sizes[:3] == [8, 4, 2]
    assert max(devices[0].sizes[3:]) == 2
    assert on_cpu == []
    assert [error["file"] for error in done.scans["images"]["errors"]] == ["images/19.png"]
    assert same_masks(done, batch(scans, out=tmp_path / "cpu"))


@pytest.mark.parametrize("write", [("mask",), ("mask", "overlay")])
def test_a_device_that_is_lost_leaves_the_rest_to_the_cpu(command, batch, scans, on_device, tmp_path, write):
    devices, on_cpu = on_device(calls=2)
    left = command(scans, "--out", tmp_path / "out", "--device", "cuda", "--workers", 1, "--write", ",".join(write))
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert left.status == 1  # for the damaged slice alone
    said = "CUDA failed (CUDA failure 2: out of memory ; GPU=0): the CPU does the rest, in fp32"
    assert left.err.splitlines().count(said) == 2  # when it happens, and with the figures
    assert summary["notes"] == [said]
    assert [scan["device"] for scan in summary["scans"]] == ["cpu", "cpu"]
    assert len(on_cpu) == 1
    assert len(devices[0].sizes) == 3
    undisturbed = batch(scans, out=tmp_path / "cpu", write=write)
    for file in (undisturbed.out / "masks").rglob("*.png"):
        assert file.read_bytes() == (tmp_path / "out" / file.relative_to(undisturbed.out)).read_bytes()


def test_what_fails_on_the_cpu_too_is_the_slices_own_fault(batch, scans, on_device, monkeypatch):
    on_device()
    shape = (1, 1, 64, 48)

    def failing(session):
        def run(outputs, feeds, real=session.run):
            (grey,) = feeds.values()
            if grey.shape == shape:
                raise RuntimeError("no kernel for this shape")
            return real(outputs, feeds)

        return run

    class Odd:
        def __init__(self, session):
            self.run = failing(session)

    real = engine.open_engine
    monkeypatch.setattr(
        engine, "open_engine", lambda *a: dataclasses.replace(found := real(*a), session=Odd(found.session))
    )
    done = batch(scans, device="cuda", workers=1)
    assert {e["reason"] for e in done.scans["images"]["errors"]} >= {"RuntimeError: no kernel for this shape"}
    assert done.scans["series"]["status"] == "ok"
    assert done.scans["series"]["device"] == "cuda"
    assert done.summary["notes"] == []
