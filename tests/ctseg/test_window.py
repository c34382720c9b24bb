"""Windows as radiologists give them, and what grey values saved in one become."""

import numpy as np
import pytest

from ctseg.errors import CallError
from ctseg.prepare import Preparation, prepare, to_grey
from ctseg.scan import Slice
from ctseg.window import as_window

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ("-600,1500", (-1350, 150)),
        (" 0 , 2e3", (-1e3, 1e3)),
        ((-550.0, 700), (-900, -200)),
        ("-500,1e3", (-1e3, 0)),
    ],
)
def test_a_window_is_a_centre_and_a_width(given, ends):
    assert as_window(given, "--window") == ends


@pytest.mark.parametrize("given", ["-600", "-600/15", "", "-600,1500,3", "a,b", "-600,0", "-600,-15", "nan,9", "0,inf"])
def test_anything_else_is_a_wrong_call(given):
    with pytest.raises(CallError, match=r"^--window: give centre and width in HU, like -600,1500$"):
        as_window(given, "--window")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("-1000,400", "-300,1400"),
        ("-1024,3071", "1023.5,4095"),
        ("-1350,150", "-600,1500"),
        ("-1000,2000", "500,3000"),
        ("-1e3,-200", "-600,800"),
    ],
)
def test_black_and_white_in_place_of_centre_and_width_are_told(given, meant):
    with pytest.raises(CallError, match=f"give centre and width: {meant}, if that window is from "):
        as_window(given, "--window")


@pytest.mark.parametrize("given", ["40,400", "-1000,-300", "-2000,40", "-750,700", "-549,700", "-551,700", "-400,990"])
def test_a_window_that_clips_what_matters_is_refused(given):
    with pytest.raises(CallError, match=r"is too narrow to restore HU: black must be -900 HU or|give centre and width"):
        as_window(given, "--window")


def test_grey_values_of_a_known_window_are_shown_as_their_hu_are():
    window = (-1024.0, 3056.0)  # 16 HU a step, so that both are exact
    hu = Slice((GREY.astype(np.int16) * 16) - 1024, "hu")
    shown = to_grey(Slice(GREY, "grey8", window=window), (-1350.0, 150.0))
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, to_grey(hu, (-1350.0, 150.0)), atol=1e-3)
    how = Preparation(long_side=32, multiple=32)
    np.testing.assert_allclose(prepare(Slice(GREY, "grey8", window=window), how)[0], prepare(hu, how)[0], atol=1e-3)


def test_a_window_is_of_8_bit_slices_alone():
    hu = Slice(GREY.astype(np.int16), "hu")
    stretched = Slice(GREY, "grey8", is_domain_guessed=True, is_stretched=True)
    assert hu.in_window((-1000.0, 0.0)) is hu
    assert stretched.in_window((-1000.0, 0.0)) is stretched
    assert Slice(GREY, "grey8").in_window((-1000.0, 0.0)).window == (-1000.0, 0.0)
