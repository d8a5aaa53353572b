"""The adapter of every framework that has a `Runtime`. See `camscope.models.adapter.Adapter`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from camscope.arrays import multiplying_by, to_numpy
from camscope.errors import InputError, ModelError
from camscope.evidence import Need
from camscope.models.adapter import LayerNeeds
from camscope.models.axes import check_space
from camscope.models.batch import Batch
from camscope.models.checks import check_axes, check_finite, check_pixels, is_floating
from camscope.models.decoding import OutputDecoder
from camscope.models.layer import Layer
from camscope.models.observing import OutputRules
from camscope.models.runtime.finding import LayersByRuns
from camscope.models.runtime.linear_head import HeadFinder
from camscope.models.runtime.runs import (
    Multiplies,
    PullBack,
    RedrawsWeights,
    Run,
    Runtime,
    ShowsAttention,
    TakesPixels,
)
from camscope.models.runtime.scoring import Scoring
from camscope.models.runtime.watching import RunObservation, kind_of
from camscope.models.said_grid import SaidGrid
from camscope.outputs import Task

_BY_RUNS = frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.SUFFIX, Need.MASKED})
_BY_DIFFERENCES = frozenset({Need.DIRECTIONS})
_BY_GRADIENTS = frozenset({Need.GRADIENTS, Need.MASKED_GRADIENTS})


class RuntimeAdapter:
    """Gathers evidence by running a model. See `camscope.models.adapter.Adapter`.

    Args:
        runtime: runs it.
        decoder: what it puts out means; the runtime was made with the same.
        task: what the outputs mean; None asks the decoder, and then the model.
    """

    def __init__(self, runtime: Runtime, decoder: OutputDecoder, task: Task | None = None) -> None:
        self.runtime = runtime
        self._scoring = Scoring(OutputRules(decoder, task or decoder.task))
        self._layers = LayersByRuns(runtime, self._scoring)
        self._heads = HeadFinder()

    @property
    def offers(self) -> frozenset[Need]:
        """What runs of the model give; gradients where the framework has them, else derivatives along directions."""
        attends = isinstance(self.runtime, ShowsAttention) and bool(self.runtime.attention_layers)
        by_attention = frozenset({Need.ATTENTION}) if attends else frozenset[Need]()
        by_slopes = _BY_GRADIENTS if self.runtime.differentiates else _BY_DIFFERENCES
        return _BY_RUNS | by_attention | by_slopes

    def exclusive(self) -> AbstractContextManager[object]:
        """Have the model to this thread alone, where that is needed."""
        return self.runtime.exclusive()

    # ------------------------------------------------------------------ the input

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is an input that is preprocessed already: the model's own, or a tensor of another library.

        NumPy's arrays, which photos may be too, are what the runtime takes them for.
        """
        if isinstance(value, np.ndarray) or not (hasattr(value, "shape") and hasattr(value, "dtype")):
            return self.runtime.is_tensor(value)
        return True

    def batch(self, given: Batch) -> Batch:
        """The inputs as NumPy arrays in the model's precision, pixels too.

        Raises:
            InputError: if the input that maps are of is no batch, is empty, or holds NaN or infinity, or does not have
                the axes of space that were named; or if it holds no pixels where the model takes these.
        """

        def converted(value: Any) -> Any:
            if not hasattr(value, "shape") or not hasattr(value, "dtype"):
                return value
            array = to_numpy(value)
            return array.astype(self.runtime.dtype, copy=False) if is_floating(array) else array

        x = converted(given.given)
        if not isinstance(x, np.ndarray):
            raise InputError(
                f"Expected an array or a tensor of {self.runtime.framework}, got {type(x).__name__}."
            )
        check_axes(x)
        pixels = self.runtime.pixels if isinstance(self.runtime, TakesPixels) else None
        if pixels is not None and x.ndim > 2:
            check_pixels(x, *pixels)
            x = x.astype(self.runtime.dtype)
        if not is_floating(x) and x.ndim != 2:
            raise InputError(
                f"The input is of {x.dtype}; an array with a batch axis is taken as already preprocessed, so it must "
                "be floating point. Pass the photo itself (path, PIL image or array of bytes) to have it preprocessed."
            )
        if not self.runtime.is_tensor(x):
            raise InputError(f"The model takes {self.runtime.takes}; got shape {tuple(x.shape)}.")
        if given.space_axes is not None:
            check_space(given.space_axes, x.shape)
        check_finite(x)
        return given.others(converted).with_given(x)

    def has_captions(self, batch: Batch) -> bool:
        """False: no model of these frameworks takes captions."""
        return False

    def with_captions(self, batch: Batch, texts: Sequence[str]) -> Batch:
        """No model of these frameworks takes captions.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"Models of {self.runtime.framework} are not asked with captions here.")

    # ------------------------------------------------------------------ the layers

    def layers(self, batch: Batch) -> Sequence[Layer]:
        """All layers with a grid, in the order they put out."""
        return self._layers.shown(batch).layers

    def choose(self, batch: Batch) -> Sequence[Layer]:
        """The deepest layer with a grid whose positions reach the score, then the runners-up.

        Raises:
            LayerError: if there is none.
        """
        return self._layers.choose(batch)

    def stages(self, batch: Batch) -> Sequence[Layer]:
        """The last layer of each resolution, the deepest being the automatic choice: what a fusion combines."""
        return self._layers.stages(batch)

    def fpn_levels(self, batch: Batch) -> Sequence[Layer]:
        """None: detectors are explained on PyTorch."""
        return ()

    def backbone_stages(self, batch: Batch) -> Sequence[Layer]:
        """None: detectors are explained on PyTorch."""
        return ()

    def layer(self, batch: Batch, layer: Any, said: SaidGrid | None = None) -> Layer:
        """The layer with this name (or this layer object), with its grid as it was found, or as it was said.

        Raises:
            LayerError: if there is none, or it has no grid, or not the one that was said.
        """
        return self._layers.layer(batch, layer, said)

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> Sequence[bool]:
        """Whether each layer's positions reach the score at all, for any class."""
        return self._layers.reaches(batch, layers)

    # ------------------------------------------------------------------ the passes

    def check(self, batch: Batch, needs: frozenset[Need]) -> None:
        """What it offers, it can give on any input that the model takes."""

    @contextmanager
    def observe(
        self, batch: Batch, needs: LayerNeeds, *, libragrad: bool = False
    ) -> Iterator[RunObservation]:
        """Run the model once on the batch, keeping what the needs ask for.

        Raises:
            ModelError: if the outputs are no class scores, or hold NaN or infinity.
        """
        assert not libragrad
        names = [layer.name for layer in needs]
        by_gradients = [layer for layer, some in needs.items() if Need.GRADIENTS in some]
        multiplying = (
            multiplying_by(self.runtime.product) if isinstance(self.runtime, Multiplies) else nullcontext()
        )
        if all(self._heads.tells_gradients(kind_of(layer, batch)) for layer in by_gradients):
            seen = self._observation(batch, self.runtime.run(batch, names))
            if not seen.to_pull_back(needs):  # the heads tell these gradients too: no graph is needed
                with multiplying:
                    yield seen
                return
        with self.runtime.differentiated(batch, names) as (run, pull_back), multiplying:
            yield self._observation(batch, run, pull_back)

    def _observation(self, batch: Batch, run: Run, pull_back: PullBack | None = None) -> RunObservation:
        outputs = self._scoring.outputs(run, batch)
        self._scoring.check_finite(outputs)
        return RunObservation(
            self.runtime, self._scoring, self._layers, self._heads, batch, run, outputs, pull_back
        )

    # ------------------------------------------------------------------ other weights

    def weighted_layers(self, batch: Batch) -> Sequence[str]:
        """The layers that have weights, in the order they run.

        Raises:
            ModelError: if no copy with other weights can be made.
        """
        return self._redraws.weighted_layers(batch)

    def redrawn(self, batch: Batch, seed: int, layers: Collection[str] | None = None) -> RuntimeAdapter:
        """The adapter of a copy with weights drawn anew.

        Raises:
            ModelError: if no such copy can be made.
        """
        runtime = self._redraws.redrawn(batch, seed, layers)
        adapter = RuntimeAdapter(runtime, self._scoring.rules.decoder, self._scoring.rules.task)
        # the same layers have the same grids, which answers of weights that mean nothing would not tell
        adapter._layers = self._layers
        return adapter

    @property
    def _redraws(self) -> RedrawsWeights:
        if isinstance(self.runtime, RedrawsWeights):
            return self.runtime
        raise ModelError(
            f"Of a model of {self.runtime.framework} no copy with other weights is made, so it is not asked whether "
            "its maps follow the weights. Ask it of the PyTorch or Keras model that it comes from, where there is one."
        )

    # ------------------------------------------------------------------ provenance

    def describe(self) -> Mapping[str, Any]:
        """What the model is."""
        return self.runtime.describe()
