"""The cost of the network: its multiplications, counted from the graph, and the nodes that take the time."""

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.model import INPUT, OUTPUT
from ctseg.runtime import session_options

_RUNS = 5


@dataclass(frozen=True, slots=True)
class Operator:
    """A node of the graph as the runtime runs it: its kind, the shape of its output, ms per run, share of all nodes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    ms: float
    share: float


def count_gmac(file: Path, batch: npt.NDArray[np.float32]) -> float:
    """GMAC, 10**9 multiplications with addition, of all convolutions and matrix products for a batch.

    Counted from the shapes that the runtime meets in the graph as it stands in the file.
    """
    import onnxruntime

    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return (
        sum(_multiplications(node["args"]) for node in _profiled(file, batch, options, ["CPUExecutionProvider"], 1))
        / 1e9
    )


def costliest(file: Path, batch: npt.NDArray[np.float32], providers: Sequence[Any], count: int) -> list[Operator]:
    """The nodes that take longest, after the runtime's optimisations, from its own profile."""
    took: dict[str, list[int]] = defaultdict(list)
    seen: dict[str, Mapping[str, Any]] = {}
    for node in _profiled(file, batch, session_options(), providers, _RUNS):
        took[node["name"]].append(int(node["dur"]))
        seen[node["name"]] = node["args"]
    medians = {name: float(np.median(times)) for name, times in took.items()}
    total = sum(medians.values()) or 1.0
    order = sorted(medians, key=lambda name: -medians[name])[:count]
    return [
        Operator(
            name=name.removesuffix("_kernel_time"),
            kind=str(seen[name]["op_name"]),
            shape=tuple(_shapes(seen[name]["output_type_shape"])[0]),
            ms=medians[name] / 1000,
            share=medians[name] / total,
        )
        for name in order
    ]


def _profiled(
    file: Path, batch: npt.NDArray[np.float32], options: Any, providers: Sequence[Any], runs: int
) -> Iterator[dict[str, Any]]:
    """The events of all nodes over so many runs, without the warm-up."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "runtime")
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=list(providers))
        for _ in range(runs + (runs > 1)):
            session.run([OUTPUT], {INPUT: batch})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [e for e in events if e.get("cat") == "Node" and str(e["name"]).endswith("_kernel_time")]
    first = len(nodes) - len(nodes) // (runs + (runs > 1)) * runs
    yield from nodes[first:]


def _multiplications(args: Mapping[str, Any]) -> float:
    """The multiplications of a node: its outputs, times the products that are summed for each."""
    given, got = _shapes(args["input_type_shape"]), _shapes(args["output_type_shape"])
    kind = args["op_name"]
    if kind == "Conv":
        return math.prod(got[0]) * math.prod(given[1][1:])
    if kind == "ConvTranspose":
        return math.prod(given[0]) * math.prod(given[1][1:])
    if kind in ("MatMul", "Gemm"):
        return math.prod(got[0]) * given[0][-1]
    return 0.0


def _shapes(described: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    return [next(iter(tensor.values())) for tensor in described]
