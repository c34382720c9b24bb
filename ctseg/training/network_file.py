"""The file of a trained network: a checkpoint, or a model file that was exported from one."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg.errors import ModelError
from ctseg.model import WEIGHTS, best_of_run, file_digest, find_model, shipped_models

if TYPE_CHECKING:
    from ctseg.training.checkpoint import Checkpoint


def is_model(file: Path) -> bool:
    """Whether a file is an exported model rather than a checkpoint, by its ending."""
    return not file.name.endswith(".pt")


def find_network(name_or_file: str) -> Path:
    """The file of a checkpoint, by its ending .pt, or of a model; raises ModelError, listing the shipped models."""
    file = Path(name_or_file)
    if not is_model(file):
        return file
    if name_or_file not in shipped_models() and (best := best_of_run(file)):
        raise ModelError(f"{file} is the folder of a training run: name {best}")
    return find_model(name_or_file)


def open_network(file: Path) -> "Checkpoint":
    """The network of a checkpoint or of a model file; raises ModelError."""
    if is_model(file):
        from ctseg.training.unfold import open_model

        return open_model(file)
    from ctseg.training import checkpoint

    return checkpoint.load(file)


def weights_digest(source: "Checkpoint") -> str:
    """The SHA-256 of a network's weights: the same for a checkpoint and for model files of it, in any precision."""
    known = source.training.get(WEIGHTS)
    if known:
        return str(known)
    digest = sha256()
    for name, tensor in sorted(source.net.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def descent(source: "Checkpoint", file: Path) -> dict[str, Any]:
    """What a checkpoint records of a network that it comes from."""
    recipe = source.recipe
    return {"preset": recipe.preset, "seed": recipe.seed, "sha256": file_digest(file)}
