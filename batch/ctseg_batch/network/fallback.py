"""An engine with a fallback: if CUDA fails during a run, smaller batches are tried, then the CPU."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ctseg.errors import CtsegError, first_line
from ctseg.scan import Slice
from ctseg_batch.choices import PrecisionChoice
from ctseg_batch.network.engine import Engine, Inferred, open_engine


class FallbackEngine:
    """The engine of a run. May be used from several threads at once.

    A batch that fails on CUDA is tried again in halves, down to single slices, and such a slice on the CPU. If it works
    there, the device was at fault, and the CPU does the rest of the run, in the `precision` that was asked for. `note`
    is called with a line for each step.
    """

    def __init__(self, engine: Engine, precision: PrecisionChoice, note: Callable[[str], None]) -> None:
        self._engine, self._note = engine, note
        self._open_on_cpu = partial(open_engine, engine.file, "cpu", precision)
        self._most: int | None = None
        self._lock = threading.RLock()

    @property
    def current(self) -> Engine:
        """The engine in use."""
        return self._engine

    def infer(self, sources: Sequence[Slice], outputs: Sequence[str]) -> list[Inferred]:
        """As `Engine` does."""
        if self._engine.device == "cpu":
            return self._engine.infer(sources, outputs)
        return [one for some in self._in_batches(sources) for one in self._on_device(some, outputs)]

    def _in_batches(self, sources: Sequence[Slice]) -> Iterator[Sequence[Slice]]:
        while sources:
            size = self._most or len(sources)
            yield sources[:size]
            sources = sources[size:]

    def _on_device(self, sources: Sequence[Slice], outputs: Sequence[str]) -> list[Inferred]:
        try:
            return self._engine.infer(sources, outputs)
        except CtsegError:
            raise  # that slice's own fault
        except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of its own without a common root
            if len(sources) == 1:
                return self._on_cpu(sources, outputs, error)
            self._shrink(len(sources) // 2, error)
        return self.infer(sources, outputs)

    def _shrink(self, size: int, error: Exception) -> None:
        with self._lock:
            if self._most is None or size < self._most:
                self._most = size
                self._note(f"CUDA failed ({first_line(error)}): continuing with batches of {size}")

    def _on_cpu(self, sources: Sequence[Slice], outputs: Sequence[str], error: Exception) -> list[Inferred]:
        """Infer a slice on the CPU and stay there; if the CPU fails too, raise that and go on with the device."""
        with self._lock:
            cpu = self._engine if self._engine.device == "cpu" else self._open_on_cpu()
            inferred = cpu.infer(sources, outputs)
            if cpu is not self._engine:
                self._engine = cpu
                self._note(f"CUDA failed ({first_line(error)}): the CPU does the rest, in {cpu.spec.precision}")
        return inferred
