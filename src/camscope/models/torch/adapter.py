"""The PyTorch adapter: one forward that records evidence, and the shortest backward that yields gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from camscope.errors import InputError, LayerError, ModelError
from camscope.evidence import ATTENDED, Need
from camscope.models.adapter import LayerNeeds
from camscope.models.batch import Batch
from camscope.models.decoding import CaptionDecoder, LayerGuide, LogitsDecoder, OutputDecoder
from camscope.models.layer import AFTER_RELU, Layer
from camscope.models.observing import Ending, OutputRules, is_dense
from camscope.models.torch.anatomy.choice import choose, reaching, stages
from camscope.models.torch.anatomy.examine import Anatomy, examine
from camscope.models.torch.anatomy.head import verified
from camscope.models.torch.anatomy.vocabulary import Embeddings, check_vocabulary, refused
from camscope.models.torch.attention.evidence import attention_of
from camscope.models.torch.backwards.curvature import twice_differentiable
from camscope.models.torch.backwards.libragrad import balanced_gradients
from camscope.models.torch.hooks.modules import find_layer, unwrap, versions
from camscope.models.torch.hooks.record import InputOf, Recorder
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.observation import TorchObservation
from camscope.models.torch.passes import Passes
from camscope.models.torch.reruns.flattened import Flattened, find_flattened
from camscope.models.torch.reruns.rerun import Run
from camscope.models.torch.reruns.suffix import Kept, Plan, keeping, plan_suffix
from camscope.outputs import Outputs, Task

_digests: WeakKeyDictionary[nn.Module, tuple[tuple[tuple[int, int], ...], str]] = WeakKeyDictionary()
"""Each model's weights as they were when last hashed, and their digest: hashing costs as much as a forward."""


class TorchAdapter:
    """Gathers evidence from a `torch.nn.Module`, which it leaves as it came.

    Args:
        model: any module.
        decoder: how it is called and what it puts out means.
        task: what the outputs mean; None asks the decoder, and then the model (one output: binary; else
            multiclass; a sigmoid at the end: multilabel).

    Raises:
        ModelError: if it is no module, or one that cannot be hooked.
    """

    offers = frozenset(Need)

    def __init__(
        self,
        model: nn.Module,
        decoder: OutputDecoder | None = None,
        *,
        task: Task | None = None,
    ) -> None:
        self.model = unwrap(model)
        self.decoder = decoder or LogitsDecoder()
        self.rules = OutputRules(self.decoder, task or self.decoder.task)
        self._anatomies: dict[Hashable, Anatomy] = {}
        self._choices: dict[Hashable, list[Layer]] = {}
        self._plans: dict[tuple[Hashable, str], Plan] = {}
        self._flattened: dict[tuple[Hashable, str], Flattened | None] = {}
        self._attentive: set[Hashable] = set()
        self._vocabulary: int | None = None

    # ------------------------------------------------------------------ the input

    def is_tensor(self, value: Any) -> bool:
        """Whether it is a tensor, or an array of another library that is none of NumPy's: those are photos."""
        return hasattr(value, "shape") and hasattr(value, "ndim") and not isinstance(value, np.ndarray)

    def batch(self, given: Batch) -> Batch:
        """The inputs on the model's device, those that maps are of also in its precision.

        Raises:
            InputError: if the input that maps are of is no batch, is empty, or holds NaN or infinity.
        """
        like = next((p for p in self.model.parameters() if p.is_floating_point()), None)

        def there(value: Any) -> Any:
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                value = torch.from_numpy(value)
            if not isinstance(value, torch.Tensor):
                return value
            value = _usable(value)
            if like is None:
                return value
            return value.to(like.device, like.dtype) if value.is_floating_point() else value.to(like.device)

        x = there(given.x)
        if not isinstance(x, torch.Tensor):
            raise InputError(f"Expected a torch.Tensor, got {type(x).__name__}.")
        tokens = x.ndim == 2 and not x.is_floating_point()
        if x.ndim == 1 and not x.is_floating_point():
            raise InputError(f"Token numbers need a batch axis: pass ids[None]; got shape {tuple(x.shape)}.")
        if x.ndim < 3 and not tokens:
            raise InputError(
                f"Expected a batch, channel and space, for instance (1, 3, 224, 224); got shape {tuple(x.shape)}."
            )
        if x.shape[0] == 0:
            raise InputError(f"The batch is empty: shape {tuple(x.shape)}.")
        if not x.is_floating_point() and not tokens and like is not None:
            raise InputError(
                f"The input tensor is {x.dtype}; a tensor is taken as already preprocessed, so it must be floating "
                "point. Pass the photo itself (path, PIL image or array) to have it preprocessed."
            )
        finite = x.isfinite().flatten(1).all(1)
        if not bool(finite.all()):
            bad = [i for i, good in enumerate(finite.tolist()) if not good]
            raise InputError(
                f"The input holds NaN or infinity, in image {', '.join(map(str, bad))} of the batch."
            )
        return given.others(there).with_x(x)

    def with_captions(self, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with captions, for a model whose classes they are."""
        assert isinstance(self.decoder, CaptionDecoder)
        return self.decoder.with_captions(self.model, batch, texts)

    # ------------------------------------------------------------------ the layers

    def layers(self, batch: Batch) -> Sequence[Layer]:
        """All layers with a grid, in the order they run."""
        return self._anatomy(batch).layers

    def choose(self, batch: Batch) -> Sequence[Layer]:
        """The deepest layer with a grid whose positions reach the score, then the runners-up."""
        key = batch.signature
        if key not in self._choices:
            anatomy, first = self._anatomy(batch), batch.images(slice(1))
            if isinstance(self.decoder, LayerGuide):
                anatomy = anatomy.within(self.decoder.within(self.model))
            with explaining(self.model):
                self._choices[key] = choose(self.model, self._scored(first), first.x, anatomy)
        return self._choices[key]

    def stages(self, batch: Batch) -> Sequence[Layer]:
        """The last layer of each resolution, the deepest being the automatic choice: what a fusion combines."""
        choice, first = self.choose(batch)[0], batch.images(slice(1))
        with explaining(self.model):
            return stages(self.model, self._scored(first), first.x, self._anatomy(batch), choice)

    def fpn_levels(self, batch: Batch) -> Sequence[Layer]:
        """The levels of a detector's pyramid by number; none of any other model.

        For a level of one position, which is no grid, stands the next finer one that it is made from.

        Raises:
            LayerError: if no level has a grid.
        """
        names = self.decoder.fpn_levels(self.model) if isinstance(self.decoder, LayerGuide) else ()
        anatomy = self._anatomy(batch)
        with_grid = {layer.name: layer for layer in anatomy.layers}
        found: list[Layer] = []
        for name in names:
            if not found and name not in with_grid:
                return [anatomy.layer(name)]
            found.append(with_grid.get(name) or found[-1])
        return found

    def layer(self, batch: Batch, layer: str | nn.Module) -> Layer:
        """The layer with this name (or this module).

        Raises:
            LayerError: if there is none, or it has no grid.
        """
        if isinstance(layer, str) and layer.endswith(AFTER_RELU):
            for candidate in self.choose(batch):
                if candidate.name == layer:
                    return candidate
            raise LayerError(
                f"There is no layer {layer!r}: {AFTER_RELU} is for a layer whose ReLU is what the classifier pools. "
                f"The automatic choice is {self.choose(batch)[0].name!r}."
            )
        return self._anatomy(batch).layer(find_layer(self.model, layer))

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> list[bool]:
        """Whether each layer's positions can reach the score at all, for any class."""
        anatomy, first = self._anatomy(batch), batch.images(slice(1))
        found: list[bool] = []
        with explaining(self.model):
            for start in range(0, len(layers), 32):
                some = layers[start : start + 32]
                reach = reaching(self.model, self._scored(first), first.x, anatomy, some)
                found += [r.positions for r in reach]
        return found

    def _anatomy(self, batch: Batch) -> Anatomy:
        key, x = batch.signature, batch.x
        if key not in self._anatomies and batch.of_tokens:
            self._anatomies[key] = self._anatomy_of_text(batch.images(slice(1)))
        if key not in self._anatomies:
            first = batch.images(slice(1))
            try:
                with explaining(self.model), _together(batch):
                    self._anatomies[key] = examine(self.model, self._forward(first), first.x)
            except RuntimeError as error:
                convolutions = (m for m in self.model.modules() if isinstance(m, nn.modules.conv._ConvNd))
                convolution = next(convolutions, None)
                if convolution is None or x.ndim != len(convolution.kernel_size) + 1:
                    raise
                raise InputError(
                    f"The model does not run on shape {tuple(x.shape)}, which looks like one image without its batch "
                    f"axis: pass x[None]. It said: {str(error).splitlines()[0]}"
                ) from error
        return self._anatomies[key]

    def _anatomy_of_text(self, first: Batch) -> Anatomy:
        try:
            with explaining(self.model), Embeddings(self.model, first.x) as seen:
                anatomy = examine(self.model, self._forward(first), first.x)
        except (RuntimeError, IndexError) as error:
            raise refused(first.x, error) from error
        self._vocabulary = seen.vocabulary
        return anatomy

    # ------------------------------------------------------------------ the passes

    def check(self, batch: Batch, needs: frozenset[Need]) -> None:
        """Refuse attention methods on a model whose attention gives no map; found once for each shape of the input.

        Raises:
            ModelError: saying what attention the model has instead.
            InputError: for token numbers that are no tokens of this model.
        """
        key = batch.signature
        if batch.of_tokens:
            self._anatomy(batch)
            if self._vocabulary is not None:
                check_vocabulary(batch.x, self._vocabulary)
        if needs & ATTENDED and key not in self._attentive:
            anatomy, first = self._anatomy(batch), batch.images(slice(1))
            with explaining(self.model), torch.no_grad():
                attention_of(self.model, self._run(first), first.x, None, anatomy=anatomy)
            self._attentive.add(key)

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
        anatomy = self._anatomy(batch)
        wanted = frozenset[Need]().union(*needs.values())
        graph = bool(wanted & {Need.GRADIENTS, Need.CURVATURE})
        with ExitStack() as whole:
            whole.enter_context(explaining(self.model))
            if batch.x.is_inference():  # an altered copy, made under the user's inference mode
                batch = batch.with_x(batch.x.clone())
            if libragrad:
                whole.enter_context(balanced_gradients(self.model))
            plans = {layer: self._plan(batch, layer) for layer, some in needs.items() if Need.SUFFIX in some}
            kept = {layer: Kept(batch=len(batch)) for layer in plans}
            with ExitStack() as stack:
                if not graph:
                    stack.enter_context(torch.no_grad())
                for layer, plan in plans.items():
                    stack.enter_context(keeping(self.model, plan, kept[layer]))
                recorder = stack.enter_context(Recorder(self.model, needs, start_graph=graph))
                watch = None
                if anatomy.classifier is not None and wanted & {Need.GRADIENTS, Need.LINEAR_HEAD}:
                    watch = stack.enter_context(InputOf(self.model.get_submodule(anatomy.classifier)))
                if Need.CURVATURE in wanted:
                    stack.enter_context(twice_differentiable())
                with _together(batch):
                    raw, logits = self._ends(batch, anatomy)
            outputs = self._outputs(raw, logits, anatomy, batch)
            self._check_finite(outputs.logits)
            yield TorchObservation(
                outputs=outputs,
                notes=(
                    *self.rules.notes(logits, self._ending(anatomy)),
                    *(_whole(plan) for plan in plans.values() if plan.whole),
                ),
                logits=logits,
                recorded={layer: recorder.seen[layer.name].activations for layer in needs},
                classifier=verified(watch.module, watch.value, logits) if watch is not None else None,
                expand=self.rules.both_classes,
                passes=Passes(
                    self.model,
                    self._run(batch),
                    lambda image: self._run(batch.images(slice(image, image + 1))),
                    batch.x,
                    anatomy,
                    plans,
                    kept,
                    lambda layer: self._flat(batch, plans[layer]),
                ),
            )

    def _run(self, batch: Batch) -> Run:
        """From altered inputs of a batch to outputs, nothing recorded."""
        anatomy = self._anatomy(batch)

        def run(x: torch.Tensor) -> Outputs:
            altered = batch.altered(x)
            return self._outputs(*self._ends(altered, anatomy), anatomy, altered)

        return run

    def _forward(self, batch: Batch) -> Callable[[torch.Tensor], torch.Tensor]:
        """From altered inputs of a batch to logits as the model puts them out."""
        return lambda x: self._logits(self.decoder.call(self.model, batch.altered(x)))

    def _scored(self, batch: Batch) -> Callable[[torch.Tensor], torch.Tensor]:
        """From altered inputs of a batch to one score per class: of a dense output its mean over the positions."""
        forward = self._forward(batch)

        def scored(x: torch.Tensor) -> torch.Tensor:
            logits = forward(x)
            return logits.flatten(2).mean(2) if is_dense(logits, x) else logits

        return scored

    def _ends(self, batch: Batch, anatomy: Anatomy) -> tuple[Any, torch.Tensor]:
        """What the model returns, and the logits: what goes into a final softmax or sigmoid if there is one."""
        if anatomy.final_activation is None:
            raw = self.decoder.call(self.model, batch)
            return raw, self._logits(raw)
        with InputOf(self.model.get_submodule(anatomy.final_activation)) as final:
            raw = self.decoder.call(self.model, batch)
        return raw, final.value

    def _plan(self, batch: Batch, layer: Layer) -> Plan:
        """How the part after a layer is run; found once for each layer and shape of the input."""
        key = (batch.signature, layer.name)
        if key not in self._plans:
            first = batch.images(slice(1))
            with torch.no_grad():
                self._plans[key] = plan_suffix(self.model, self._forward(first), first.x, layer)
        return self._plans[key]

    def _flat(self, batch: Batch, plan: Plan) -> Flattened | None:
        """The linear layer that reads the layer's channels side by side, if any; looked for once likewise."""
        key = (batch.signature, plan.layer.name)
        if key not in self._flattened:
            first = batch.images(slice(1))
            with torch.no_grad():
                whole = plan.whole
                found = None if whole else find_flattened(self.model, self._forward(first), first.x, plan)
            self._flattened[key] = found
        return self._flattened[key]

    def _logits(self, raw: Any) -> torch.Tensor:
        logits: torch.Tensor = self.decoder.logits(raw)
        return logits

    def _outputs(self, raw: Any, logits: torch.Tensor, anatomy: Anatomy, batch: Batch) -> Outputs:
        return self.rules.outputs(raw, logits, self._ending(anatomy), batch)

    def _ending(self, anatomy: Anatomy) -> Ending:
        final = anatomy.final_activation
        sigmoid = final is not None and isinstance(self.model.get_submodule(final), nn.Sigmoid)
        return Ending(sigmoid, final is not None and not sigmoid, anatomy.returns_probabilities)

    def _check_finite(self, logits: torch.Tensor) -> None:
        if bool(logits.isfinite().all()):
            return
        bad = [name for name, p in self.model.named_parameters() if not bool(p.isfinite().all())]
        bad += [
            name
            for name, b in self.model.named_buffers()
            if b.is_floating_point() and not bool(b.isfinite().all())
        ]
        if bad:
            more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
            raise ModelError(f"The model's weights hold NaN or infinity: {', '.join(bad[:3])}{more}.")
        raise ModelError(
            "The model's output holds NaN or infinity although its input and weights are finite: it overflows. "
            "Check the input's scale, or run it in float32."
        )

    # ------------------------------------------------------------------ provenance

    def describe(self) -> Mapping[str, Any]:
        """Class, framework, device, precision and weights digest of the model."""
        first = next(self.model.parameters(), None)
        return {
            "model": type(self.model).__name__,
            "framework": f"torch {torch.__version__}",
            "device": str(first.device) if first is not None else "cpu",
            "dtype": str(first.dtype).removeprefix("torch.") if first is not None else "float32",
            "weights_sha256": self._weights_digest(),
        }

    def _weights_digest(self) -> str:
        """SHA-256 over the names and bytes of the state; computed anew only when a tensor has changed."""
        now = versions(self.model)
        known = _digests.get(self.model)
        if known is None or known[0] != now:
            sha = hashlib.sha256()
            for name, value in self.model.state_dict().items():
                if isinstance(value, torch.Tensor):
                    sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                    sha.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            known = _digests[self.model] = (now, sha.hexdigest())
        return known[1]


@contextmanager
def _together(batch: Batch) -> Iterator[None]:
    """Say how several inputs were read, should the model not run on them."""
    try:
        yield
    except RuntimeError as error:
        shapes = batch.shapes_of_others
        if not shapes:
            raise
        raise InputError(
            f"The model does not run on these inputs: {tuple(batch.x.shape)} with {', '.join(map(str, shapes))}. "
            f"Those with {len(batch)} rows, as many as the batch, were taken to belong to its images, one row each; "
            f"others to all of them. It said: {str(error).splitlines()[0]}"
        ) from error


def _usable(value: torch.Tensor) -> torch.Tensor:
    """The user's tensor without its graph and what a subclass adds, and such that autograd may use it."""
    value = value.detach().as_subclass(torch.Tensor)
    if value.is_inference():
        with torch.inference_mode(False):
            value = value.clone()
    return value


def _whole(plan: Plan) -> str:
    return (
        f"The part after {plan.layer.name!r} cannot be run by itself in this model (checked in numbers), so the whole "
        "model was run again for every altered activation: the same maps, slower."
    )
