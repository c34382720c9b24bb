"""The phantom: what it draws, and that its truth is the truth."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy import ndimage

from ctseg.classes import BACKGROUND, CONSOLIDATION, GROUND_GLASS, LUNG, NORMAL_LUNG
from ctseg.measures import count_pixels, doubts, measure
from ctseg.phantom import Phantom

ILL = Phantom(seed=3, slices=30, size=128, disease=0.3)


@pytest.fixture(scope="module")
def volume():
    return ILL.volume()


@pytest.fixture(scope="module")
def healthy():
    return replace(ILL, disease=0).volume()


def of_class(volume, tissue, shrink=0):
    """The HU of a class, without its outermost `shrink` pixels of each slice."""
    hu, labels = volume
    mask = labels == tissue.index
    if shrink:
        mask = ndimage.binary_erosion(mask, np.ones((1, 3, 3)), iterations=shrink)
    return hu[mask]


def test_same_values_give_the_same_pictures(volume):
    again = replace(ILL)
    for index in (2, 12, 27):
        hu, labels = again.slice(index)
        np.testing.assert_array_equal(hu, volume[0][index])
        np.testing.assert_array_equal(labels, volume[1][index])


def test_another_seed_is_another_patient():
    hu, labels = ILL.slice(15)
    other_hu, other_labels = replace(ILL, seed=4).slice(15)
    assert (hu != other_hu).mean() > 0.3
    assert (labels != other_labels).any()


def test_a_slice_does_not_depend_on_the_others_drawn(volume):
    hu, labels = replace(ILL).slice(17)
    np.testing.assert_array_equal(hu, volume[0][17])
    np.testing.assert_array_equal(labels, volume[1][17])


def test_iterating_goes_from_the_feet_up(volume):
    drawn = list(islice(ILL, 3))
    np.testing.assert_array_equal([hu for hu, _ in drawn], volume[0][:3])
    assert len(list(replace(ILL, slices=2, size=16))) == 2


def test_arrays_are_what_readers_give(volume):
    hu, labels = volume
    assert hu.shape == labels.shape == (30, 128, 128)
    assert (hu.dtype, labels.dtype) == (np.int16, np.uint8)
    assert hu.min() >= -1024
    assert hu.max() <= 3071


def test_each_class_has_the_hu_of_its_tissue(volume):
    assert -890 < np.median(of_class(volume, NORMAL_LUNG)) < -840
    assert -860 < of_class(volume, NORMAL_LUNG, shrink=1).mean() < -790
    assert -700 < of_class(volume, GROUND_GLASS, shrink=1).mean() < -500
    assert -100 < of_class(volume, CONSOLIDATION, shrink=1).mean() < 60


def test_background_is_not_lung(volume):
    hu, labels = volume
    body = (labels == BACKGROUND.index) & (hu > -500)
    assert -120 < hu[body].mean() < 150
    # Bone does not lie in the lung: blur alone carries its brightness over the edge.
    assert (hu[labels > 0] > 200).mean() < 2e-3


def test_lung_hangs_denser_at_the_back(healthy):
    hu, labels = healthy
    rows = np.arange(128)[None, :, None] + np.zeros_like(hu)
    lung = (labels == NORMAL_LUNG.index) & (hu < -780)
    front, back = np.quantile(rows[lung], (0.2, 0.8))
    assert hu[lung & (rows > back)].mean() - hu[lung & (rows < front)].mean() > 10


def test_no_disease_no_lesion_same_patient(volume, healthy):
    assert set(np.unique(healthy[1])) == {BACKGROUND.index, NORMAL_LUNG.index}
    np.testing.assert_array_equal(healthy[1] > 0, volume[1] > 0)


@pytest.mark.parametrize("disease", [0.02, 0.8])
def test_disease_takes_up_the_share_asked_for(disease):
    phantom = Phantom(seed=8, slices=24, size=64, disease=disease)
    measures = measure(count_pixels(phantom.volume()[1]), phantom.spacing_mm)
    assert measures.involvement_percent == pytest.approx(100 * disease, rel=0.12)
    assert measures.volumes_ml["ground_glass"] > 0
    assert measures.volumes_ml["consolidation"] > 0


@pytest.mark.parametrize("seed", range(2))
def test_lungs_are_an_adults(seed):
    phantom = Phantom(seed=seed, slices=24, size=48)
    labels = phantom.volume()[1]
    measures = measure(count_pixels(labels), phantom.spacing_mm)
    assert 3000 < measures.lung_ml < 7500
    lung = [int((mask > 0).sum()) for mask in labels]
    assert doubts(measures, lung[0], max(lung), lung[-1]) == ()


def test_volume_does_not_depend_on_the_grid():
    coarse = Phantom(seed=5, slices=24, size=64)
    fine = Phantom(seed=5, slices=40, size=128)
    volumes = [measure(count_pixels(p.volume()[1]), p.spacing_mm).lung_ml for p in (coarse, fine)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.03)


def test_left_and_right_are_where_they_belong(healthy):
    hu, _ = healthy
    soft = (hu > 0) & (hu < 100)
    # The heart's bulk lies on the patient's left, the image's right: between the lungs, before the spine.
    heart = soft[8:12, 35:60, 40:88]
    assert heart[..., 24:].sum() > 1.15 * heart[..., :24].sum()
    # At the base the liver fills the patient's right.
    base = soft[3, 40:80]
    assert base[:, 20:60].sum() > 1.3 * base[:, 68:108].sum()


def test_front_is_up():
    hu, _ = ILL.slice(14)
    bone = hu > 350
    rows = np.nonzero(bone[:, 60:68].any(axis=1))[0]
    spine, sternum = rows.max(), rows.min()
    assert bone[spine - 14 : spine + 1, 60:68].sum() > 2 * bone[sternum : sternum + 15, 60:68].sum()
    # The table lies below the body.
    assert (hu[spine + 5 :] > -600).any()


def test_lungs_taper_at_both_ends(volume):
    area = (volume[1] > 0).sum(axis=(1, 2))
    largest = area.argmax()
    assert max(area[0], area[-1]) < 0.02 * area[largest]
    assert 6 < largest < 22
    assert 0 < area[np.nonzero(area)[0][-1]] < 0.35 * area[largest]
    assert 0 < area[np.nonzero(area)[0][0]] < 0.35 * area[largest]


def test_lungs_are_two_and_whole(volume):
    components, _ = ndimage.label(volume[1] > 0)
    sizes = np.sort(np.bincount(components.ravel())[1:])[::-1]
    assert sizes[:2].sum() > 0.99 * sizes.sum()
    assert sizes[1] > 0.3 * sizes[0] or sizes[0] > 0.99 * sizes.sum()


def test_lesions_are_solid_in_space():
    thin = Phantom(seed=2, slices=12, size=128, spacing=(2.0, 3.0, 3.0), disease=0.4)
    lesion = thin.volume()[1] >= GROUND_GLASS.index
    overlap = (lesion[1:] & lesion[:-1]).sum() / lesion[1:].sum()
    assert overlap > 0.8


def test_noise_is_grained_not_white():
    hu, _ = Phantom(seed=1, slices=60, size=512, disease=0).slice(8)
    liver = hu[200:280, 100:180].astype(float)
    assert 25 < np.median(liver) < 90
    liver -= liver.mean()
    assert 8 < liver.std() < 45
    neighbours = (liver[:, 1:] * liver[:, :-1]).mean() / liver.var()
    distant = (liver[:, 12:] * liver[:, :-12]).mean() / liver.var()
    assert neighbours > 0.2
    assert abs(distant) < 0.1


def test_spacing_is_given_or_derived():
    given = Phantom(seed=1, slices=5, size=64, spacing=(2.5, 1.5, 1.25))
    assert given.spacing_mm == (2.5, 1.5, 1.25)
    origins = [given.origin_mm(index) for index in range(5)]
    assert np.diff([z for _, _, z in origins]) == pytest.approx([2.5] * 4)
    assert origins[0][:2] == pytest.approx((-1.25 * 31.5, -38 - 1.5 * 31.5))
    z, y, x = replace(given, slices=300, size=256, spacing=None).spacing_mm
    assert 0.9 < z < 1.15
    assert y == x == pytest.approx(392 / 256, abs=1e-5)


def test_a_thousandth_of_many_slices_is_drawn_alone():
    hu, labels = Phantom(seed=1, slices=20_000, size=64).slice(10_000)
    assert (labels > 0).sum() > 600
    assert hu.std() > 300


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"slices": 0}, "slices"),
        ({"size": 8}, "size"),
        ({"disease": 0.95}, "disease"),
        ({"disease": -0.1}, "disease"),
        ({"spacing": (1.0, 0.0, 1.0)}, "spacing"),
    ],
)
def test_what_cannot_be_drawn_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Phantom(**values)


def test_slices_that_there_are_not_are_refused():
    for index in (-1, 30):
        with pytest.raises(IndexError, match="30"):
            ILL.slice(index)


def test_lung_classes_cover_the_whole_lung(volume):
    assert set(np.unique(volume[1])) == {BACKGROUND.index, *(tissue.index for tissue in LUNG)}
