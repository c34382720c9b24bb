"""Stacks and volumes that lie anyhow in space: their slices come from the feet up, their spacing is the real one."""

import shutil
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ctseg.reading import open_series, open_volume, read_mask_volume

quickly = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# So far as a patient lies askew and each axis still leads closest to where it did.
MOST_TURNED = 0.6
TO_RAS = np.diag([-1.0, -1.0, 1.0])
steps = st.floats(0.3, 5).map(lambda step: round(step, 3))
turns = st.tuples(*[st.floats(-1, 1)] * 3, st.floats(0, MOST_TURNED)).map(
    lambda drawn: Rotation.from_rotvec(
        drawn[3] * np.array(drawn[:3]) / max(1e-3, np.linalg.norm(drawn[:3]))
    ).as_matrix()
)
signs = st.sampled_from([1, -1])


def unit(vector):
    return [round(float(v), 6) for v in vector]


@quickly
@given(
    turn=turns,
    rightwards=signs,
    backwards=signs,
    spacing=st.tuples(steps, steps, steps),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    names=st.permutations("abcdef").flatmap(lambda letters: st.integers(2, 6).map(lambda count: letters[:count])),
)
def test_a_series_is_in_order_whatever_its_orientation(
    write_dicom, tmp_path, turn, rightwards, backwards, spacing, origin, names
):
    """Slice n holds n as its lowest value; the head may be at either end of the file names."""
    between, rows, columns = spacing
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    for number, name in enumerate(names):
        write_dicom(
            folder / f"{name}.dcm",
            np.full((3, 4), -1000 + number, np.int16),
            ImageOrientationPatient=unit(turn[:, 0] * rightwards) + unit(turn[:, 1] * backwards),
            ImagePositionPatient=unit(np.array(origin) + number * between * turn[:, 2]),
            PixelSpacing=[rows, columns],
        )
    found = open_series(sorted(folder.iterdir()))
    assert not found.failed
    (series,) = found.series
    assert [int(series.read(index).pixels.min()) + 1000 for index in range(len(names))] == list(range(len(names)))
    assert series.spacing_mm == pytest.approx((between, rows, columns), abs=1e-3)
    is_oblique = np.abs(turn[:, 2]).max() < np.cos(np.radians(1))
    assert series.flags == (("oblique",) if is_oblique else ())
    shutil.rmtree(folder)


@quickly
@given(
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    turn=turns,
    spacing=st.tuples(steps, steps, steps),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    offset=st.tuples(*[st.floats(-500, 500)] * 3),
    form=st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]),
    is_aligned=st.booleans(),
)
def test_a_volume_is_turned_upright_and_its_mask_back(
    tmp_path, axes, flips, turn, spacing, shape, offset, form, is_aligned
):
    shown = np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 1000  # slices, rows, columns
    labels = (np.arange(np.prod(shape)) % 4).astype(np.uint8).reshape(shape)

    def native(array):
        """In the order of the file's axes: axis i leads along axes[i] of (left, back, head), or against it."""
        return np.flip(array.transpose(2, 1, 0).transpose(axes), [i for i in range(3) if flips[i]])

    directions = np.zeros((3, 3))
    for axis, flip, step_of in zip(range(3), flips, axes, strict=True):
        directions[step_of, axis] = spacing[2 - step_of] * (-1 if flip else 1)
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if is_aligned else TO_RAS @ turn @ TO_RAS) @ TO_RAS @ directions
    affine[:3, 3] = offset
    file = tmp_path / "ct.nii"
    nibabel.save(form(native(shown), affine), file)
    volume = open_volume(file)
    np.testing.assert_array_equal(np.stack([volume.read(index).pixels for index in range(len(volume))]), shown)
    assert volume.lengths_mm == pytest.approx(spacing, rel=1e-4)
    assert not is_aligned or volume.flags == ()
    np.testing.assert_array_equal(volume.grid().filled(dict(enumerate(labels))), native(labels))
    nibabel.save(form(native(labels), affine), file)
    np.testing.assert_array_equal(read_mask_volume(file, None), labels)
