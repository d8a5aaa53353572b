"""A forward that records layers: run again where the model uses what they put out otherwise than it seemed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from camscope.errors import LayerError
from camscope.evidence import Need
from camscope.models.adapter import LayerNeeds
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.observing import Ending
from camscope.models.torch.backwards.curvature import twice_differentiable
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.grafting import Uses
from camscope.models.torch.hooks.record import InputOf, Recorder
from camscope.models.torch.inputs import explaining_how_inputs_were_read
from camscope.models.torch.layer_finder import LayerFinder
from camscope.models.torch.remembered import Remembered
from camscope.models.torch.reruns.suffix import Kept, Plan, keeping


class RecordedForwards:
    """Runs one model, keeping what layers put out, and remembers how the model uses that.

    Args:
        forwards: of the model.
        layers: finds its layers.
    """

    def __init__(self, forwards: Forwards, layers: LayerFinder) -> None:
        self._forwards = forwards
        self._model = forwards.model
        self._layers = layers
        self._uses: Remembered[dict[str, Uses]] = Remembered(self._model)
        """How the uses of layers' outputs are found, by signature and name, once they were looked for."""
        self._makers: Remembered[set[str]] = Remembered(self._model)
        """Names of layers that make something else from their output before they put it out, by signature."""

    def uses(self, batch: Batch) -> dict[str, Uses]:
        """How the uses of layers' outputs are found, by name, of those that were looked for; to be added to."""
        return self._uses.get(batch.signature, dict)

    def run(
        self, batch: Batch, needs: LayerNeeds, plans: Mapping[Layer, Plan], kept: Mapping[Layer, Kept]
    ) -> tuple[Recorder, InputOf | None, tuple[Any, torch.Tensor, Ending]]:
        """Run the model once on a batch, keeping what the needs ask for.

        It is run again if it shows that the uses of a layer's output are not found as they were looked for. That is
        remembered.

        Args:
            batch: the inputs.
            needs: at each target layer.
            plans: how the part after some of the layers is run.
            kept: by the same layers, takes what that part needs.

        Returns:
            what was recorded, what went into the classifier (see `_recording`), and see `Forwards.run`.
        """
        anatomy, uses = self._layers.anatomy(batch), self.uses(batch)
        # the input as an object of its own: nothing about the caller's is changed
        own = batch.others(_alias).with_x(_alias(batch.x))
        put_back_random = _random_state(own.x.device)
        while True:
            with self._recording(batch, needs, plans, kept, uses) as (recorder, classifier_input):
                run = self._forwards.run(own, anatomy)
            self._makers.get(batch.signature, set).update(recorder.making_others)
            uses.update(dict.fromkeys(recorder.looked_at, Uses.OF_TENSOR) | recorder.found)
            if not (recorder.obstructed or (recorder.found and recorder.starts_graph)):
                return recorder, classifier_input, run
            put_back_random()

    @contextmanager
    def _recording(
        self,
        batch: Batch,
        needs: LayerNeeds,
        plans: Mapping[Layer, Plan],
        kept: Mapping[Layer, Kept],
        uses: Mapping[str, Uses],
    ) -> Iterator[tuple[Recorder, InputOf | None]]:
        """Within this context a forward of the batch keeps what the needs ask for, and no more.

        Args:
            batch: the inputs.
            needs: at each target layer.
            plans: how the part after some of the layers is run.
            kept: by the same layers, takes what that part needs.
            uses: how the uses of layers' outputs are found, by name.

        Yields:
            recorder: takes the layers' activations.
            classifier_input: takes what goes into the classifier; None if that is not wanted or there is none.
        """
        head = self._layers.anatomy(batch).head
        wanted = frozenset[Need]().union(*needs.values())
        with_graph = bool(wanted & {Need.GRADIENTS, Need.CURVATURE})
        with ExitStack() as stack:
            if not with_graph:
                stack.enter_context(torch.no_grad())
            for layer, plan in plans.items():
                stack.enter_context(keeping(self._model, plan, kept[layer]))
            look = with_graph or Need.SUFFIX in wanted
            recorder = stack.enter_context(
                Recorder(self._model, needs, start_graph=with_graph, uses=uses, look_within=look)
            )
            classifier_input = None
            if head and wanted & {Need.GRADIENTS, Need.LINEAR_HEAD}:
                classifier_input = stack.enter_context(InputOf(self._model.get_submodule(head[0])))
            if Need.CURVATURE in wanted:
                stack.enter_context(twice_differentiable())
            stack.enter_context(explaining_how_inputs_were_read(batch))
            yield recorder, classifier_input

    def check_alterable(self, batch: Batch, layer: Layer) -> None:
        """Refuse a layer whose altered output would not reach all that the model makes of it.

        Args:
            batch: one that was run.
            layer: the layer.

        Raises:
            LayerError: naming a layer in it that puts the same out, if there is one.
        """
        if layer.name not in self._makers.get(batch.signature, set):
            return
        inside = [
            other.name
            for other in self._layers.anatomy(batch).layers
            if other.name.startswith(f"{layer.name}.") and other.shape == layer.shape
        ]
        hint = f"the layer that makes it, perhaps {inside[-1]!r}" if inside else "another layer"
        raise LayerError(
            f"The layer {layer.name!r} makes something else from its output too, before it puts it out, and altered "
            f"activations would not reach that. Choose {hint}, or a method that alters none: gradcam."
        )


def _alias(value: Any) -> Any:
    """The same memory as another object, where it is a tensor."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def _random_state(device: torch.device) -> Callable[[], None]:
    """What puts back the state of random numbers as it is now."""
    state = torch.get_rng_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def put_back() -> None:
        torch.set_rng_state(state)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)

    return put_back
