"""What a framework has to write, in plain NumPy, for `tests.conformance.networks.Network`: everything but gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.observing import Ending
from camscope.models.runtime import Part, PullBack, Run, RunAfter
from tests.conformance.networks import Convolution, MaxPool, Network, Relu, Sigmoid, Softmax


@dataclass(frozen=True)
class NumpyRuntime:
    """Runs a `Network`. See `camscope.models.runtime.Runtime`."""

    model: Network
    decoder: OutputDecoder
    framework = "NumPy"
    takes = "(batch, channel, height, width)"
    differentiates = False

    @property
    def dtype(self) -> np.dtype:
        return next(iter(self.model.arrays().values())).dtype

    def exclusive(self) -> AbstractContextManager[None]:
        """Nothing is ever changed, so threads need not wait."""
        return nullcontext()

    def is_tensor(self, value: Any) -> bool:
        """A floating-point array with a batch axis; any other array is a photo."""
        return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 4

    def parts(self) -> list[Part]:
        return [
            Part(
                name,
                type(op).__name__,
                True,
                isinstance(op, (Convolution, Relu, MaxPool)),
                isinstance(op, MaxPool),
            )
            for name, op in self.model.layers.items()
        ]

    def name_of(self, layer: Any) -> str | None:
        return next((name for name, op in self.model.layers.items() if op is layer), None)

    def run(self, batch: Batch, watched: Collection[str] | None = ()) -> Run:
        return self._run(batch, watched)

    def after(self, batch: Batch, layer: str, rows_along: int = 0) -> RunAfter:
        assert rows_along == 0  # this model puts out no tokens

        def run(given: np.ndarray) -> Run:
            rows = batch.images(np.zeros(len(given), np.int64)) if len(batch) == 1 else batch
            return self._run(rows, (), layer, given)

        return run

    def differentiated(
        self, batch: Batch, layers: Collection[str]
    ) -> AbstractContextManager[tuple[Run, PullBack]]:
        raise NotImplementedError("differentiates is False")

    def _run(
        self, batch: Batch, watched: Collection[str] | None, after: str | None = None, given: Any = None
    ) -> Run:
        values: dict[str, np.ndarray] = {}
        *_, before, last = self.model.layers

        def model(x: np.ndarray) -> np.ndarray:
            values.update(self.model.outputs(x, after, given))
            return values.get(last, given)

        raw = self.decoder.call(model, batch)
        end = self.model.layers[last]
        ending = Ending(sigmoid=isinstance(end, Sigmoid), softmax=isinstance(end, Softmax))
        logits = values[before] if ending.sigmoid or ending.softmax else self.decoder.logits(raw)
        kept = {name: value for name, value in values.items() if watched is None or name in watched}
        return Run(raw, logits, ending, kept)

    def describe(self) -> dict[str, Any]:
        sha = hashlib.sha256()
        for name, value in self.model.arrays().items():
            sha.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
        return {
            "model": type(self.model).__name__,
            "framework": f"numpy {np.__version__}",
            "device": "cpu",
            "dtype": str(self.dtype),
            "weights_sha256": sha.hexdigest(),
        }
