"""How much of the lungs is normal, ground glass or consolidated.

The ground floor: what a scan, a class, a volume, a score and a model file are. Nothing here needs torch but the
`training` wing.

A file becomes a `scan` (`reading`), in which each slice has a `turn` and perhaps a `window`, and all a `spacing` and a
`grid`. `prepare` makes the network's input of a slice and its mask of the output; the network and what belongs to it
are a `model`, opened by `runtime`. `cleanup` drops what can't be lung, and `confidence` says how sure the rest is. What
a mask comes to are `measures`; of `--measures full`, the two `lungs`, their `regions` and `lesions`. With a truth:
`metrics` of a mask, distances of its `surface`, `agreement` over scans. `flags` name what is doubtful. `cli` is the
table of commands.
"""

import os

# Raised by every change that may change a label, a figure or a flag: by it a run knows what it need not do again.
__version__ = "0.2.0.dev1"

# From 1.31 on, onnxruntime reports to its maker how it is used, unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
