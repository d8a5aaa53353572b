"""Maps inside of a training step, differentiable by the weights, from the step's own forward."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Bool, Float

from camscope.arrays import Array
from camscope.composition import Expression, list_methods, parse
from camscope.engine.layer_choice import check_token_layers, choose_layers
from camscope.engine.model import Model, open_model
from camscope.engine.passes import check_head
from camscope.errors import MethodError, ModelError
from camscope.evidence import Evidence, LinearHead, Need
from camscope.keywords import keywords
from camscope.methods import Method
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.torch.adapter import TorchAdapter
from camscope.models.torch.doorway import owns, unwrap
from camscope.models.torch.remembered import MOST
from camscope.models.torch.training_step import TrainingStep, TrainingSteps
from camscope.outputs import Task
from camscope.targets import TargetsLike, resolve
from camscope.training.label_targets import StepTargets, step_targets
from camscope.training.told_functions import told

_GIVEN = frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.GRADIENTS})
"""What a step can give a method: nothing that would run the model again."""

_LOOKED_AT = 8
"""Images on which the head is verified."""


@dataclass(frozen=True, eq=False)
class StepMaps:
    """The maps of one training step, and what the model put out in the same forward.

    Attributes:
        outputs: what the model returned, with its graph: the loss is made of it as without maps.
        maps: raw, signed, at layer resolution and in single precision at least; differentiable by the weights. Zero
            where an image has no such label. Of a method that is not class-specific one map for all targets.
        scores: the explained scores, of the same graph.
        present: which labels each image has: `maps[present]` are the maps of these alone.
        layer: the name of the target layer.
        method: the name of the method.
        scored: runs the model once more, as it is, on other inputs of the same shape, and gives the probabilities of
            the same targets, `batch target`, with their graph.
    """

    outputs: Any
    maps: Float[Array, "batch target_or_1 *space"]
    scores: Float[Array, "batch target"]
    present: Bool[Array, "batch target"]
    layer: str
    method: str
    scored: Callable[[Array], Array] = field(repr=False)


@keywords("camscope.training.cam(model, x, {})")
def cam(
    model: Any,
    x: Any,
    targets: TargetsLike | Array = None,
    *,
    layer: Any = None,
    method: str | Method = "cam",
    task: Task | None = None,
    output: Callable[[Any], Any] | str | int | None = None,
    explained_input: int | str | None = None,
) -> StepMaps:
    """One forward of a training step, with the maps it makes.

        seen = camscope.training.cam(model, x, "all")
        loss = cross_entropy(seen.outputs, y) + outside_loss(seen.maps, masks)
        loss.backward()

    The model runs once, as it is: in train mode or eval mode, under autocast, inside DistributedDataParallel. A
    compiled model runs step by step in this call, since compiled code calls no hooks. Nothing of the step is changed:
    as long as the maps do not enter the loss, weights, statistics and random numbers end bit for bit as without.

    The layer, its grid and the head are found by the first call for each shape of the input, in eval mode and with
    everything put back, and remembered as long as no module is replaced. Then `cam` is W · A with the head's own
    weights: gradients reach both. A batch norm between pooling and classifier is folded in as the step uses it: by the
    batch's own statistics in train mode, so that the map sums to the very logits of the loss; by the running ones in
    eval mode, where maps are those of `Explainer`. Dropout counts by its mean, which is to leave it out. Every other
    method is its own formula of activations and gradients, and these can be differentiated again
    (`torch.autograd.grad(create_graph=True)`), by one short backward for each target.

    In half precision the forward is what it is, and all that follows is single precision.

    Args:
        model: the `torch.nn.Module` that is trained, wrapped or not.
        x: the step's inputs, preprocessed: a tensor, or several as a tuple or a dictionary, as for `Explainer`.
        targets: labels as an array, one class for each image `(batch,)`, n for each `(batch, n)` (a negative number
            stands for none), or a mask `(batch, class)`, True or more than one half for the classes an image has, which
            gives a map for every class; or targets as everywhere else in camscope (`'all'`, a class for every image,
            `Contrast`, `PerImage`). None takes each image's top class.
        layer: name or module; None takes the automatic choice.
        method: a method of activations, gradients or a linear head; see `camscope.list_methods()`.
        task: what the outputs mean, see `Explainer`.
        output: where the logits are in what the model returns, see `Explainer`.
        explained_input: which of several inputs the maps are of.

    Raises:
        ModelError: if it is no PyTorch module.
        MethodError: if the method cannot be had in a step; of `cam`, if the head is not pooling and one linear layer:
            the message names the method that works.
        TargetError: for labels that do not fit.
        LayerError, InputError: as for `Explainer`.
    """
    wanted = _method(method)
    if not owns(model):
        raise ModelError(
            f"A training step needs the torch.nn.Module that is trained, not {type(model).__name__}. Of other "
            "frameworks' models camscope.Explainer shows the maps between steps."
        )
    known = _known(model, x, layer, wanted, task, output, explained_input)
    batch, by_gradients = known.batch(x), Need.GRADIENTS in wanted.needs

    def scored(other: Array) -> Array:
        with known.steps.apart(model):
            run = known.steps.run(model, batch.with_given(other), by_gradients=False)
            return labels.scores(run.outputs, "probability")

    with known.steps.apart(model):
        step = known.steps.run(model, batch, by_gradients=by_gradients)
        labels = step_targets(targets, step.outputs, known.class_names)
        scores = labels.scores(step.outputs)
        maps = wanted(_evidence(step, labels, scores, by_gradients=by_gradients))
        _check_differentiable(wanted, step, maps)
        if wanted.class_specific:
            there = array_namespace(maps).astype(labels.present, maps.dtype)
            maps = maps * there[(..., *(None,) * (maps.ndim - 2))]
    return StepMaps(step.raw, maps, scores, labels.present, known.steps.layer.name, wanted.name, scored)


def _evidence(
    step: TrainingStep, labels: StepTargets, scores: Float[Array, "batch target"], *, by_gradients: bool
) -> Evidence:
    """What a method gets, all of it on the step's graph."""
    gradients = step.gradients(scores, labels.columns) if by_gradients else None
    head = None
    if step.weights is not None:
        weights = labels.weights(step.weights, step.outputs)
        head = LinearHead(weights, step.features, pools_activations=not step.pools_relu)
    return Evidence(step.activations, gradients=gradients, head=head)


def _method(given: str | Method) -> Method:
    """The method, if a step can give all that it needs.

    Raises:
        MethodError: naming those it can.
    """
    expression: Expression = parse(given) if isinstance(given, str) else given
    if isinstance(expression, Method) and _fits(expression):
        return expression
    names = (
        one.name for one in list_methods() if isinstance(one, Method) and _fits(one) and one.class_specific
    )
    raise MethodError(
        f"{expression.name} cannot be had in a training step: it runs the model again, or is made of more than one "
        f"layer's activations and gradients. These can: {', '.join(names)}."
    )


def _fits(method: Method) -> bool:
    return method.scope == "layer" and method.needs <= _GIVEN


def _check_differentiable(method: Method, step: TrainingStep, maps: Array) -> None:
    """Refuse maps that could teach nothing."""
    if step.activations.requires_grad and not maps.requires_grad:
        raise MethodError(
            f"The maps of {method.name} cannot be differentiated: it leaves the graph on its way. Take another."
        )


# ------------------------------------------------------------------ what is found once


@dataclass(frozen=True)
class _Known:
    """What was found out about a model for one kind of input. It keeps no module alive.

    Attributes:
        steps: runs its forwards.
        place: which of several inputs maps are of.
        space_axes: which axes of that are space; None for the usual ones.
        class_names: of all classes, if they are known.
    """

    steps: TrainingSteps
    place: int | str
    space_axes: tuple[int, ...] | None
    class_names: Sequence[str] | None

    def batch(self, x: Any) -> Batch:
        """The step's inputs as they are, with their graph."""
        if isinstance(x, Mapping):
            return Batch((), dict(x), self.place, self.space_axes)
        return Batch(x if isinstance(x, tuple) else (x,), {}, self.place, self.space_axes)


class _Memory:
    """What is known of one model, as long as it has the same modules.

    Args:
        model: an unwrapped module.
    """

    def __init__(self, model: Any) -> None:
        self._modules = [weakref.ref(module) for module in model.modules()]
        self.found: OrderedDict[Hashable, _Known] = OrderedDict()

    def is_of(self, model: Any) -> bool:
        """Whether none of its modules was replaced, added or taken away."""
        now = list(model.modules())
        return len(now) == len(self._modules) and all(
            ref() is module for ref, module in zip(self._modules, now, strict=True)
        )


_memories: weakref.WeakKeyDictionary[Any, _Memory] = weakref.WeakKeyDictionary()
"""By the unwrapped model."""


def _known(
    given: Any, x: Any, layer: Any, method: Method, task: Any, output: Any, explained_input: Any
) -> _Known:
    """What is known of a model for such inputs; found out now, if it is not."""
    module = unwrap(given)
    memory = _memories.get(module)
    if memory is None or not memory.is_of(module):
        memory = _memories[module] = _Memory(module)
    of_head = Need.LINEAR_HEAD in method.needs
    kind = (_kind_of(x), told(layer), of_head, task, told(output), explained_input)
    if kind not in memory.found:
        model = open_model(given, task=task, output=output)
        memory.found[kind] = _find(model, x, layer, method, explained_input)
    memory.found.move_to_end(kind)
    while len(memory.found) > MOST:
        memory.found.popitem(last=False)
    return memory.found[kind]


def _kind_of(x: Any) -> Hashable:
    """Equal for inputs that differ in their numbers, and in how many images there are; a switch or a word counts."""
    if isinstance(x, Mapping):
        return tuple((name, _kind_of(value)) for name, value in x.items())
    if isinstance(x, (list, tuple)):
        return tuple(map(_kind_of, x))
    if hasattr(x, "shape"):
        return *x.shape[1:], str(x.dtype)
    return type(x).__name__, x if isinstance(x, (bool, str)) else None


def _find(model: Model, x: Any, layer: Any, method: Method, explained_input: Any) -> _Known:
    """Find layer, grid and head by what finds them for every explanation, with the model in eval mode.

    Args:
        model: ready to be explained.
        x: the inputs as the user gave them.
        layer: name or module; None takes the automatic choice.
        method: decides whether a linear head is wanted.
        explained_input: which of several inputs the maps are of.
    """
    adapter = model.adapter
    assert isinstance(adapter, TorchAdapter)
    with adapter.exclusive():
        _, batch = model.prepared(x, explained_input)
        batch = batch.images(slice(_LOOKED_AT))
        chosen, _ = choose_layers(adapter, batch, layer, [method], 0)
        check_token_layers(adapter, batch, layer, [method], chosen)
        found = chosen.single[0]
        head = _head(adapter, batch, found, method) if Need.LINEAR_HEAD in method.needs else None
        steps = adapter.training_steps(batch, found, head)
        return _Known(
            steps, batch.explained_input, batch.space_axes, model.class_names or model.info.class_names
        )


def _head(adapter: TorchAdapter, batch: Batch, layer: Layer, method: Method) -> LinearHead:
    """The linear head behind a layer, verified in numbers.

    Raises:
        MethodError: if there is none.
    """
    needs = {layer: frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD})}
    with adapter.observe(batch, needs) as seen:
        ((_, _, evidence),) = seen.evidence(resolve(0, seen.outputs), needs, 0)
        head = evidence.head
        if head is not None and not head.holds_when_altered():
            head = None
        check_head([method], layer.name, Evidence(evidence.activations, head=head), adapter.offers)
    assert head is not None
    return head
