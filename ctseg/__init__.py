"""How much of each lung is normal, ground glass or consolidated.

The ground floor: what a scan, a class, a volume, a score and a model file are. Nothing here needs torch
but the `training` wing.
"""

__version__ = "0.1.0"
