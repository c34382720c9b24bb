"""A model whose masks are known beforehand, slices made for it, and the command called in process."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import nibabel
import numpy as np
import onnx.helper
import onnx.parser
import pytest

from ctseg.cli import main
from ctseg.model import ModelSpec, to_metadata
from ctseg.phantom import Phantom
from ctseg.phantom.dicom import to_dicom
from ctseg.prepare import Preparation
from ctseg_batch.call import Call
from ctseg_batch.figures.summary import exit_status
from ctseg_batch.network.engine import Engine
from ctseg_batch.run import run
from ctseg_batch.watcher import Watcher

SIDE = 64
"""Slices of this long side go through the model without a resize, so their masks are known to the pixel."""

_QUARTERS = """
<ir_version: 10, opset_import: ["": 18]>
quarters (float[N, 1, H, W] slice) => (uint8[N, H, W] labels) <int64[1] axis = {1}, float share = {0.015625}>
{
    scaled = Mul (slice, share)
    floor = Floor (scaled)
    whole = Cast <to = 2> (floor)
    labels = Squeeze (whole, axis)
}
"""
# Grey 0..63 is class 0, 64..127 class 1 ...: so are these HU, through a window from -1050 to 150.
_WINDOW = (-1050.0, 150.0)
_GREY = np.array([32, 96, 160, 224], np.uint8)
_HU = np.array([-1000, -600, -200, 100], np.int16)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """Write a model that tells the quarters of the grey scale apart; what its metadata say else may be given."""

    def made(file: Path, **spec: Any) -> Path:
        model = onnx.parser.parse_model(_QUARTERS)
        preparation = Preparation(_WINDOW, long_side=SIDE, multiple=16)
        described = {"name": "quarters", "version": "1", "licence": "free", "preparation": preparation, **spec}
        onnx.helper.set_model_props(model, to_metadata(ModelSpec(**described)))
        file.write_bytes(model.SerializeToString())
        return file

    return made


@pytest.fixture(scope="session")
def quarters(make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that tests run where they need none of their own."""
    return make_model(tmp_path_factory.mktemp("model") / "quarters.onnx")


@pytest.fixture(scope="session")
def draw() -> Callable[..., np.ndarray]:
    """Labels (rows, columns) in blocks of 8 x 8 pixels, which a JPEG keeps, with a rim of background, if there is room.

    Every seed draws others.
    """

    def drawn(seed: int = 0, rows: int = SIDE, columns: int = 48) -> np.ndarray:
        blocks = np.random.default_rng(seed).integers(0, 4, (rows // 8, columns // 8), dtype=np.uint8)
        if min(blocks.shape) > 2:
            blocks[[0, -1]] = blocks[:, [0, -1]] = 0
        return blocks.repeat(8, 0).repeat(8, 1)

    return drawn


@pytest.fixture
def speck() -> np.ndarray:
    """Two lungs of four slices, (4, 64, 64), with a speck apart from them in the third slice."""
    labels = np.zeros((4, 64, 64), np.uint8)
    labels[:, 8:56, 8:28] = 1
    labels[:, 8:56, 36:56] = 2
    labels[2, 1:4, 60:63] = 3
    return labels


@pytest.fixture(scope="session")
def save() -> Callable[[Path, np.ndarray], Path]:
    """Save numbers (H, W) in the format of the file's ending; makes the folders."""

    def saved(file: Path, pixels: np.ndarray) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".npy":
            np.save(file, pixels)
        else:
            file.write_bytes(cv2.imencode(file.suffix, pixels)[1].tobytes())
        return file

    return saved


@pytest.fixture(scope="session")
def save_slice(save: Callable[[Path, np.ndarray], Path]) -> Callable[[Path, np.ndarray], Path]:
    """Save the 8-bit slice whose mask will be the labels given, with as many grey values as CT has."""

    def saved(file: Path, labels: np.ndarray) -> Path:
        texture = np.random.default_rng(0).integers(0, 16, labels.shape, dtype=np.uint8)
        return save(file, _GREY[labels] + texture)

    return saved


@pytest.fixture(scope="session")
def save_volume() -> Callable[..., Path]:
    """Save labels (slices, H, W) as NIfTI, as HU that the model gives these labels for, or as they are."""

    def saved(file: Path, labels: np.ndarray, spacing: Sequence[float] = (1, 1, 1), *, truth: bool = False) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        voxels = np.ascontiguousarray((labels if truth else _HU[labels])[:, ::-1, ::-1].transpose(2, 1, 0))
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing[::-1], 1.0])), file)
        return file

    return saved


@pytest.fixture(scope="session")
def save_series() -> Callable[..., list[Path]]:
    """Save labels (slices, 64, 64) as the DICOM series of a phantom, HU as the model wants them; feet first."""

    def saved(folder: Path, labels: np.ndarray, stems: Sequence[str] = (), seed: int = 0, **tags: Any) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        phantom = Phantom(seed=seed, slices=len(labels), size=labels.shape[1])
        files = [folder / f"{stem}.dcm" for stem in stems or [f"{index:03d}" for index in range(len(labels))]]
        for index, file in enumerate(files):
            dataset = to_dicom(phantom, index, _HU[labels[index]])
            for tag, value in tags.items():
                setattr(dataset, tag, value)
            dataset.save_as(file, enforce_file_format=True)
        return files

    return saved


@pytest.fixture(scope="session")
def convert() -> Callable[..., Path]:
    """Make one enhanced object of the files of a series."""
    from highdicom.legacy import LegacyConvertedEnhancedCTImage
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    def converted(file: Path, series: Sequence[Path], **more: Any) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        given = {"series_instance_uid": generate_uid(), "series_number": 2, "sop_instance_uid": generate_uid(), **more}
        LegacyConvertedEnhancedCTImage(list(map(dcmread, series)), instance_number=1, **given).save_as(file)
        return file

    return converted


def _decoded(mask: Path) -> np.ndarray:
    """OpenCV's own reading of files dies of names that are no Unicode."""
    return cv2.imdecode(np.fromfile(mask, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many batches of slices went through the network, since last asked."""
    done = []
    infer = Engine.infer
    monkeypatch.setattr(Engine, "infer", lambda self, *given: (done.append(1), infer(self, *given))[1])

    def since() -> int:
        count = len(done)
        done.clear()
        return count

    return since


@pytest.fixture
def stopped(batch: Callable[..., "Done"], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run in process, as `batch` does, until Ctrl-C after so many slices."""
    infer = Engine.infer

    def called(slices: int, *inputs: Path, **wanted: Any) -> None:
        left = iter(range(slices))

        def until(self: Engine, *given: Any) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return infer(self, *given)

        with monkeypatch.context() as patched:
            patched.setattr(Engine, "infer", until)
            with pytest.raises(KeyboardInterrupt):
                batch(*inputs, workers=1, **wanted)

    return called


@dataclass(frozen=True)
class Done:
    """What a run leaves: its summary, and OUT."""

    summary: Mapping[str, Any]
    out: Path

    @property
    def status(self) -> int:
        return exit_status(self.summary)

    @property
    def scans(self) -> dict[str, Mapping[str, Any]]:
        return {scan["scan"]: scan for scan in self.summary["scans"]}

    @property
    def scan(self) -> Mapping[str, Any]:
        (only,) = self.summary["scans"]
        return only

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """Every file below masks/ by its name there."""
        return {name: _decoded(self.out / "masks" / name) for name in self.times}

    @property
    def times(self) -> dict[str, int]:
        """When each file below masks/ was written."""
        top = self.out / "masks"
        return {f.relative_to(top).as_posix(): f.stat().st_mtime_ns for f in sorted(top.rglob("*")) if f.is_file()}


@pytest.fixture
def batch(quarters: Path, tmp_path: Path) -> Callable[..., Done]:
    """Run in process, into `tmp_path/out` and on the CPU if nothing else is said."""

    def called(*inputs: Path, **wanted: Any) -> Done:
        call = {"out": tmp_path / "out", "model": str(quarters), "device": "cpu", "workers": 2, **wanted}
        return Done(run(Call(inputs, **call), Watcher()), call["out"])

    return called


class Left(NamedTuple):
    """How the command left, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(quarters: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Left]:
    """Call `ctseg batch`, or another command, in process as the console script does."""

    def called(*arguments: object, name: str = "batch") -> Left:
        given = ["--model", quarters, "--device", "cpu", "--workers", 2, *arguments]
        with pytest.raises(SystemExit) as left:
            main([name, *map(str, given)])
        return Left(left.value.code or 0, *capsys.readouterr())

    return called


@pytest.fixture(scope="session")
def process_of_batch() -> list[str]:
    """What calls `ctseg batch` as a process of its own."""
    return [sys.executable, "-m", "ctseg", "batch"]


@pytest.fixture
def summarize(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, bytes, str]]:
    """Call `ctseg summarize` as the console script does: its status, standard output and standard error."""

    def called(*arguments: object) -> tuple[int, bytes, str]:
        with pytest.raises(SystemExit) as left:
            main(["summarize", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return left.value.code or 0, out, err.decode()

    return called


@pytest.fixture(scope="session")
def healthy(
    draw: Callable[..., np.ndarray],
    save_slice: Callable[[Path, np.ndarray], Path],
    save_series: Callable[..., list[Path]],
    save_volume: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Mapping[str, np.ndarray]]:
    """A folder with images, a volume and a series, and the labels of each slice by the name of its mask."""
    folder = tmp_path_factory.mktemp("healthy")
    labels = {f"images/{name}.png": draw(seed) for seed, name in enumerate("az")}
    stack = np.stack([draw(seed, 64, 64) for seed in range(4)])
    for name, mask in labels.items():
        save_slice(folder / name, mask)
    save_volume(folder / "volumes/a.nii.gz", stack)
    save_series(folder / "series", stack, stems="abcd")
    labels |= {f"volumes/a.nii.gz/{n:04d}.png": mask for n, mask in enumerate(stack)}
    labels |= {f"series/{stem}.dcm.png": mask for stem, mask in zip("abcd", stack, strict=True)}
    return folder, labels


@dataclass(frozen=True)
class Beside:
    """A healthy folder that something with a fault may be put into, to see what becomes of it and of the rest."""

    folder: Path
    command: Callable[..., Left]
    labels: Mapping[str, np.ndarray]

    def put(self, name: str, content: bytes) -> Path:
        """Make a file in the folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def failures(self, unmade: str = "") -> dict[str, str]:
        """Run it all: what failed, and why. All other masks are there, but the one that is `unmade`, and no more."""
        out = self.folder.parent / "out"
        left = self.command(self.folder, "--out", out, "--json")
        summary = json.loads(left.out)
        assert left.status == 1
        assert "Traceback" not in left.err
        assert summary == json.loads((out / "summary.json").read_text())
        errors = [*summary["errors"], *(error for scan in summary["scans"] for error in scan["errors"])]
        for error in errors:
            assert f"failed: {error['file']}: {error['reason']}\n" in left.err
            assert not re.search(r"(Error|Exception)\b", error["reason"])
        expected = {name: mask for name, mask in self.labels.items() if name != unmade}
        made = {f.relative_to(out / "masks").as_posix(): f for f in (out / "masks").rglob("*") if f.is_file()}
        assert made.keys() == expected.keys()
        for name, mask in expected.items():
            np.testing.assert_array_equal(_decoded(made[name]), mask)
        return {error["file"]: error["reason"] for error in errors}


@pytest.fixture
def beside(command: Callable[..., Left], healthy: tuple[Path, Mapping[str, np.ndarray]], tmp_path: Path) -> Beside:
    """The healthy folder, to be spoilt."""
    source, labels = healthy
    return Beside(shutil.copytree(source, tmp_path / "in"), command, labels)
