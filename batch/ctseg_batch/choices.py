"""The values that options of a run may have, apart from what uses them: commands are loaded before any network is."""

from typing import Literal

from ctseg.model import Precision

DeviceChoice = Literal["auto", "cpu", "cuda"]
PrecisionChoice = Literal["auto", Precision]
DriverChoice = Literal["local", "ray"]

DEFAULT_KIND = "mask"
"""The kind of output that a run writes if none is named."""

MOST_WORKERS = 1024
"""More threads than any machine has CPUs; each takes memory."""

MeasuresChoice = Literal["basic", "full"]
"""`full` adds what takes a scan as a whole: lungs, thirds, lesions, surfaces."""
