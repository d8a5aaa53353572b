"""The PyTorch adapter: one forward that records evidence, and the shortest backward that yields gradients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from camscope.errors import InputError, ModelError
from camscope.evidence import ATTENDED, LinearHead, Need
from camscope.models.adapter import Forward, LayerNeeds
from camscope.models.batch import Batch
from camscope.models.decoding import CalledOtherwise, CaptionDecoder, LogitsDecoder, OutputDecoder
from camscope.models.layer import Layer
from camscope.models.observing import Ending, OutputRules
from camscope.models.said_grid import SaidGrid
from camscope.models.torch.anatomy.behind_pooling import verified_head
from camscope.models.torch.attention.observe import attention_of
from camscope.models.torch.backwards.libragrad import balanced_gradients
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.further_passes import FurtherPasses
from camscope.models.torch.hooks.grafting import Uses
from camscope.models.torch.hooks.mean_embedding import mean_embedding
from camscope.models.torch.hooks.modules import (
    at_rest,
    check_has_values,
    check_not_scripted,
    tensors_of,
    unwrap,
)
from camscope.models.torch.hooks.record import InputOf, Recorder
from camscope.models.torch.hooks.session import exclusive
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.hooks.surroundings import set_aside
from camscope.models.torch.inputs import check_values, prepared
from camscope.models.torch.layer_finder import LayerFinder
from camscope.models.torch.learning_head import check_foldable
from camscope.models.torch.observation import TorchObservation
from camscope.models.torch.provenance import description
from camscope.models.torch.recorded_forwards import RecordedForwards
from camscope.models.torch.redrawing import redrawn, weighted_layers
from camscope.models.torch.remembered import Remembered
from camscope.models.torch.reruns.suffix import Kept, Plan
from camscope.models.torch.suffix_plans import SuffixPlans
from camscope.models.torch.training_step import TrainingSteps
from camscope.models.torch.users_forward import (
    AsItWas,
    UsersForward,
    as_without_watching,
    following,
    refusing_layers_cut_off,
)
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.torch.exporting.traced_programs import TorchPrograms


class TorchAdapter:
    """Gathers evidence from a `torch.nn.Module`, which it leaves as it came. See `camscope.models.adapter.Adapter`.

    Args:
        model: any module.
        decoder: how it is called and what it puts out means.
        task: what the outputs mean; None asks the decoder, and then the model (one output: binary; else
            multiclass; a sigmoid at the end: multilabel).

    Raises:
        ModelError: if it is no module, one that cannot be hooked, or one whose weights have no values.
    """

    offers = frozenset(Need) - {Need.DIRECTIONS}

    def __init__(
        self,
        model: nn.Module,
        decoder: OutputDecoder | None = None,
        *,
        task: Task | None = None,
    ) -> None:
        self.model = unwrap(model)
        check_has_values(self.model)
        self.decoder = decoder or LogitsDecoder()
        self.rules = OutputRules(self.decoder, task or self.decoder.task)
        self._forwards = Forwards(self.model, self.decoder, self.rules)
        self._layers = LayerFinder(self._forwards)
        self._plans = SuffixPlans(self._forwards)
        self._recorded = RecordedForwards(self._forwards, self._layers)
        self._attentive: Remembered[bool] = Remembered(self.model)
        """By the signature of a batch: that the model's attention was found to give maps."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Have the model to this thread alone, whatever adapter or Explainer asks for it.

        Only the model runs under an autocast and with a default device that the user has set around the call.
        """
        with exclusive(self.model), set_aside(self.model):
            yield

    def at_rest(self) -> AbstractContextManager[None]:
        """Within it only PyTorch writes to the weights, if anything does, so that calls look at them less closely."""
        return at_rest(self.model)

    # ------------------------------------------------------------------ the input

    def is_tensor(self, value: Any) -> bool:
        """Whether it is a tensor, or an array of another library that is none of NumPy's: those are photos.

        Raises:
            InputError: for a tensor that has no values one by one.
        """
        if isinstance(value, torch.Tensor):
            if value.is_nested:  # it has not even a shape
                check_values(value)
            return True
        return hasattr(value, "shape") and hasattr(value, "ndim") and not isinstance(value, np.ndarray)

    def batch(self, given: Batch) -> Batch:
        """The inputs on the model's device and in its precision.

        Raises:
            InputError: if the input that maps are of is no batch, is empty, or holds NaN or infinity.
        """
        return prepared(given, self.model)

    def has_captions(self, batch: Batch) -> bool:
        """Whether a call has its captions already, or brings texts of its own in their place."""
        return isinstance(self.decoder, CaptionDecoder) and self.decoder.has_captions(batch)

    def with_captions(self, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with captions, for a model whose classes they are."""
        assert isinstance(self.decoder, CaptionDecoder)
        return self.decoder.with_captions(self.model, batch, texts)

    def embeds(self, batch: Batch) -> bool:
        """Whether the model looks the tokens of such a batch up in an `nn.Embedding`."""
        return self._layers.embeds(batch)

    def mean_embedding(
        self, batch: Batch, gone: Bool[np.ndarray, "batch token"]
    ) -> AbstractContextManager[None]:
        """Put the mean embedding in place of tokens. See `camscope.models.torch.hooks.mean_embedding`."""
        there = torch.from_numpy(gone).to(batch.x.device)
        return mean_embedding(self.model, batch.x, there)

    # ------------------------------------------------------------------ the layers

    def layers(self, batch: Batch) -> Sequence[Layer]:
        """All layers with a grid, in the order they run."""
        return self._layers.layers(batch)

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
        """The levels of a detector's pyramid by number; none of any other model.

        Raises:
            LayerError: if the finest level has no grid.
        """
        return self._layers.fpn_levels(batch)

    def backbone_stages(self, batch: Batch) -> Sequence[Layer]:
        """The layers of a detector's backbone that its pyramid is made from; none of any other model.

        Raises:
            LayerError: if one of them has no grid.
        """
        return self._layers.backbone_stages(batch)

    def layer(self, batch: Batch, layer: str | nn.Module, said: SaidGrid | None = None) -> Layer:
        """The layer with this name (or this module), with its grid as it was found, or as it was said.

        Raises:
            LayerError: if there is none, or it has no grid, or not the one that was said.
        """
        return self._layers.layer(batch, layer, said)

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> list[bool]:
        """Whether each layer's positions can reach the score at all, for any class."""
        return self._layers.reaches(batch, layers)

    # ------------------------------------------------------------------ the passes

    def check(self, batch: Batch, needs: frozenset[Need]) -> None:
        """Refuse attention methods on a model whose attention gives no map; found once for each shape of the input.

        Raises:
            ModelError: saying what attention the model has instead; or naming a part in TorchScript, whose steps cannot
                be watched, as some methods must.
            InputError: for token numbers that are no tokens of this model.
        """
        if batch.of_tokens:
            self._layers.check_tokens(batch)
        if Need.GUIDED_GRADIENTS in needs:
            check_not_scripted(self.model, "guided backpropagation")
        if needs & ATTENDED:
            check_not_scripted(self.model, "a method of attention")
            self._attentive.get(batch.signature, lambda: self._check_attention(batch))

    def _check_attention(self, batch: Batch) -> bool:
        anatomy, first = self._layers.anatomy(batch), batch.images(slice(1))
        with explaining(self.model), torch.no_grad():
            to_outputs = self._forwards.to_outputs(first, anatomy)
            attention_of(self.model, to_outputs, first.x, None, anatomy=anatomy)
        return True

    def weighted_layers(self, batch: Batch) -> Sequence[str]:
        """The layers that have weights, in the order they run; the classifier comes last where it is known."""
        first = batch.images(slice(1))
        with explaining(self.model), torch.no_grad():
            found = weighted_layers(self.model, lambda: self._forwards.call(first))
        last = self._layers.anatomy(batch).classifier
        return sorted(found, key=lambda name: name == last)

    def redrawn(self, batch: Batch, seed: int, layers: Collection[str] | None = None) -> TorchAdapter:
        """The adapter of a copy with weights drawn anew. See `camscope.models.torch.redrawing.redrawn`.

        Raises:
            ModelError: if the model cannot be copied, or has weights that are no real numbers.
        """

        def run_of(model: nn.Module) -> object:
            return Forwards(model, self.decoder, self.rules).call(batch)

        with explaining(self.model):
            twin = redrawn(self.model, run_of, seed, layers)
        adapter = TorchAdapter(twin, self.decoder, task=self.rules.task)
        # the same layers have the same grids, which answers of weights that mean nothing would not tell
        adapter._layers = self._layers
        adapter._recorded = RecordedForwards(adapter._forwards, self._layers)
        return adapter

    @contextmanager
    def observe(
        self,
        batch: Batch,
        needs: LayerNeeds,
        *,
        libragrad: bool = False,
    ) -> Iterator[TorchObservation]:
        """Run the model once on the batch, keeping what the needs ask for.

        Everything before the first target layer runs without a graph. The model is put back when the block
        ends, so evidence must be taken inside it.

        Args:
            batch: the inputs.
            needs: of all methods at each target layer; none if only the outputs or the model as a whole are asked for.
            libragrad: let gradients flow by LibraGrad's rules (`camscope.models.torch.backwards.libragrad`).
        """
        with ExitStack() as whole:
            whole.enter_context(explaining(self.model))
            if batch.x.is_inference():  # an altered copy, made under the user's inference mode
                batch = batch.with_x(batch.x.clone())
            if libragrad:
                check_not_scripted(self.model, "LibraGrad")
                whole.enter_context(balanced_gradients(self.model))
            plans = {
                layer: self._plans.plan(batch, layer) for layer, some in needs.items() if Need.SUFFIX in some
            }
            kept = {layer: Kept(batch=len(batch)) for layer in plans}
            recorder, classifier_input, run = self._recorded.run(batch, needs, plans, kept)
            for layer, parts in kept.items():
                self._recorded.check_alterable(batch, layer)
                parts.uses = self._recorded.uses(batch).get(layer.name, Uses.OF_TENSOR)
                parts.inputs = batch.x
            yield self._observation(batch, needs, recorder, classifier_input, run, plans=plans, kept=kept)

    def _observation(
        self,
        batch: Batch,
        layers: Iterable[Layer],
        recorder: Recorder,
        classifier_input: InputOf | None,
        run: tuple[Any, torch.Tensor, Ending],
        *,
        plans: Mapping[Layer, Plan],
        kept: Mapping[Layer, Kept],
    ) -> TorchObservation:
        """What one forward showed.

        Args:
            batch: the inputs.
            layers: the target layers.
            recorder: recorded these.
            classifier_input: kept what went into the classifier; None if that was not wanted or there is none.
            run: what the model put out, see `Forwards.run`.
            plans: how the part after some of the layers is run.
            kept: by the same layers, what that part needs.
        """
        anatomy, (raw, logits, ending) = self._layers.anatomy(batch), run
        outputs = self._forwards.outputs(raw, logits, ending, batch)
        self._forwards.check_finite(outputs.logits)
        classifier = None
        if classifier_input is not None:
            modules = [self.model.get_submodule(name) for name in anatomy.head]
            classifier = verified_head(modules, classifier_input.value, logits)
        return TorchObservation(
            outputs=outputs,
            notes_on_outputs=self.rules.notes(logits, ending),
            logits=logits,
            recorded={layer: recorder.seen(layer).activations for layer in layers},
            sources={layer: recorder.seen(layer).source_of((raw, logits)) for layer in layers},
            classifier=classifier,
            expand=self.rules.both_classes,
            passes=FurtherPasses(
                model=self.model,
                run=self._forwards.to_outputs(batch, anatomy),
                run_of=lambda i: self._forwards.to_outputs(batch.images(slice(i, i + 1)), anatomy),
                x=batch.x,
                anatomy=anatomy,
                plans=plans,
                kept=kept,
                flattened=lambda layer: self._plans.flattened(batch, plans[layer]),
            ),
        )

    # ------------------------------------------------------------------ the user's own forward

    def following(
        self, met: Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]
    ) -> AbstractContextManager[None]:
        """Let each forward that the user makes go through `met`. See `users_forward.following`."""
        return following(self.model, met)

    def follow(self, batch: Batch, needs: LayerNeeds, run: Callable[[], Any]) -> tuple[Any, UsersForward]:
        """Make the user's own forward, in the mode the model is in, keeping what the needs ask for.

        Args:
            batch: its inputs.
            needs: at each target layer: activations, gradients and a linear head.
            run: makes the forward.

        Returns:
            what the user gets, and the forward.

        Raises:
            LayerError: if gradients are wanted of a layer that the model runs without a graph.
        """
        wanted = frozenset[Need]().union(*needs.values())
        with_graph = Need.GRADIENTS in wanted and not torch.is_inference_mode_enabled()
        uses = self._recorded.uses(batch)
        if with_graph and any(layer.name not in uses for layer in needs):
            with self.exclusive(), self.observe(batch.most_telling(), needs):
                pass  # how the uses of these layers' outputs are found is known now
        anatomy = self._layers.anatomy(batch)
        modules = [self.model.get_submodule(name) for name in anatomy.head]
        # several modules are told to be linear by running them, which in train mode would change their statistics
        followed = bool(modules) and (len(modules) == 1 or not any(m.training for m in modules))
        forwards = Forwards(self.model, CalledOtherwise(self.decoder, lambda _: run()), self.rules)
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))
            if with_graph:
                stack.enter_context(refusing_layers_cut_off(self.model, needs))
            recorder = stack.enter_context(
                Recorder(self.model, needs, start_graph=with_graph, uses=uses, look_within=False)
            )
            head = stack.enter_context(InputOf(modules[0])) if followed else None
            found = forwards.run(batch, anatomy)
        if head is not None and not with_graph and isinstance(head.value, torch.Tensor):
            head.value = head.value.detach()  # the user's graph, which no layer's recording is on
        unfollowed = with_graph and (recorder.found or recorder.obstructed)
        uses.update(recorder.found)

        def observation() -> TorchObservation:
            if Need.GRADIENTS in wanted and not with_graph:
                raise InputError(
                    "The forward ran under torch.inference_mode(), where PyTorch keeps nothing to differentiate. Use "
                    "torch.no_grad() around it, or a method without gradients, such as 'cam' or 'eigencam'."
                )
            if unfollowed:
                raise ModelError(
                    f"In this forward the model uses what {', '.join(layer.name for layer in needs)} put out in "
                    "another way than before, in train mode perhaps, so its gradients are not known. The next "
                    "forward is followed that way; or call the Explainer itself."
                )
            return self._observation(batch, needs, recorder, head, found, plans={}, kept={})

        output = as_without_watching(found[0], self.model, (batch.args, batch.kwargs))
        forward = UsersForward(
            model=self.model,
            in_train_mode=any(module.training for module in self.model.modules()),
            observation=observation,
            weights={name: AsItWas.now(weight) for name, weight in self.model.named_parameters()},
            outputs=[AsItWas.now(tensor) for tensor in tensors_of(output) if tensor.requires_grad],
        )
        return output, forward

    # ------------------------------------------------------------------ what outlives it

    def programs(self) -> TorchPrograms:
        """What writes the model, with its maps, as a program of its own."""
        from camscope.models.torch.exporting.traced_programs import TorchPrograms

        return TorchPrograms(self._forwards, self._layers)

    def training_steps(self, batch: Batch, layer: Layer, head: LinearHead | None) -> TrainingSteps:
        """What runs the forwards of training steps in which a layer's maps are wanted. It keeps no module alive.

        Args:
            batch: the inputs, which stand for all of the same shape.
            layer: the target layer.
            head: the linear head behind it, as it was found; None if its weights are not wanted.

        Raises:
            MethodError: if the head's modules are of kinds whose weights cannot be followed while they learn.
        """
        anatomy = self._layers.anatomy(batch)
        if head is not None:
            check_foldable([self.model.get_submodule(name) for name in anatomy.head])
            pools: Literal["activations", "relu"] | None = "activations" if head.pools_activations else "relu"
        else:
            pools = None
        return TrainingSteps(layer, pools, anatomy, self.decoder, self.rules)

    def describe(self) -> Mapping[str, Any]:
        """Class, framework, device, precision and weights digest of the model."""
        return description(self.model)
