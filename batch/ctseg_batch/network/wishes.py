"""What a user may ask for: light, since the commands name it before they need a network."""

from typing import Literal

DeviceWish = Literal["auto", "cpu", "cuda"]
PrecisionWish = Literal["auto", "fp32", "fp16", "int8"]
