"""A checkpoint becomes a self-describing ONNX file: the graph, the same in half precision, the proof.

Loads torch and onnx when they are needed: `ctseg export --help` needs neither.
"""

from typing import TYPE_CHECKING, Any

from ctseg.errors import require

if TYPE_CHECKING:
    from ctseg_export.export import Exported, export_model

__all__ = ["Exported", "export_model"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when first asked for; raises MissingExtraError without the extra."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("torch", "onnx", "onnxscript"):
        require(module, "export")
    from ctseg_export import export

    return getattr(export, name)
