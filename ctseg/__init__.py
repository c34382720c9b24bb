"""How much of the lungs is normal, ground glass or consolidated.

The ground floor: what a scan, a class, a volume, a score and a model file are. Nothing here needs torch
but the `training` wing.
"""

import os

__version__ = "0.2.0.dev0"

# From 1.31 on, onnxruntime reports to its maker how it is used, unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
