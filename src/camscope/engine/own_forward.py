"""`Explainer.watching`: maps from a forward that the user makes, in place of a second one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from camscope.composition import alters_input, list_methods
from camscope.engine.call import Call
from camscope.engine.explaining import Explaining
from camscope.engine.layer_choice import Chosen, choose_layers
from camscope.engine.model import Model
from camscope.engine.notes import Notes
from camscope.engine.requests import Request, StrongestChannels, needs_by_layer, sort_requests
from camscope.errors import InputError, MethodError, ModelError
from camscope.evidence import Need, in_words
from camscope.inputs import Inputs
from camscope.models.adapter import FollowingAdapter, Forward, LayerNeeds, UsersForward
from camscope.models.batch import Batch
from camscope.results import Explanation
from camscope.targets import TargetsLike

GIVEN = frozenset({Need.ACTIVATIONS, Need.GRADIENTS, Need.LINEAR_HEAD})
"""What a forward that is over can give a method."""

_IN_TRAIN_MODE = (
    "The forward ran in train mode: its dropout, and the batch's own statistics in batch norms, are part of these "
    "maps. Explainer(model)(x) explains the model as it predicts, in eval mode."
)


@dataclass(frozen=True, eq=False)
class _Met:
    """A forward that was watched.

    Attributes:
        forward: itself.
        given: its inputs, as prepared.
        batch: the same on the model's device.
        chosen: the layers.
        how: how they were chosen.
    """

    forward: UsersForward
    given: Inputs
    batch: Batch
    chosen: Chosen
    how: Mapping[str, Any]


class Watched:
    """What `Explainer.watching` gives: the last forward of the model in its block, held with its graph.

    Args:
        model: the model.
        call: what is asked for.
        explained_input: see `Explainer.__call__`.
    """

    def __init__(self, model: Model, call: Call, explained_input: int | str | None) -> None:
        if not isinstance(model.adapter, FollowingAdapter):
            raise ModelError(
                "watching() follows forwards of PyTorch models; this one is of another framework. Call the Explainer "
                "itself: explainer(x)."
            )
        if model.info.texts is not None or model.info.caption_decoder is not None or _of_detector(model):
            raise ModelError(
                "watching() follows classifiers and segmenters of images, signals and volumes. Texts are explained in "
                "groups of one length, captions and detections by forwards of their own: call the Explainer itself."
            )
        for name, e in call.plain.items():
            lacking = e.needs - GIVEN
            if lacking or alters_input(e):
                able = [one.name for one in list_methods() if one.needs <= GIVEN and not alters_input(one)]
                raise MethodError(
                    f"{name} takes {in_words(lacking) or 'altered inputs'}, so the model would have to run again. Of a "
                    f"forward that is over these can be had: {', '.join(able)}. Or call the Explainer itself."
                )
        self._model, self._adapter, self._call = model, model.adapter, call
        self._explained_input = explained_input
        self._met: _Met | None = None

    def __repr__(self) -> str:
        state = "no forward yet" if self._met is None else f"a forward of {len(self._met.batch)} inputs"
        return f"<Watched: {state}>"

    @contextmanager
    def watching(self) -> Iterator[Watched]:
        """Watch the forwards that are made in this context."""
        with self._adapter.following(self._meet):
            yield self

    def is_of(self, model: Model) -> bool:
        """Whether it was this model that was watched."""
        return self._model is model

    def explanation(self, targets: TargetsLike, notes: Notes) -> Explanation:
        """Explain the forward.

        Args:
            targets: see `Explainer.__call__`.
            notes: collects what a reader of the maps should know.

        Raises:
            InputError: if the model was not run, or the forward is no longer what the model does.
            MethodError, TargetError: as for a call.
        """
        met, model = self._met, self._model
        if met is None:
            raise InputError(
                "The model was not run while it was watched. Run it in the block: "
                "with explainer.watching() as seen: output = model(x)."
            )
        notes.of_inputs(met.batch.x, met.given.preprocessing is not None, model.info)
        notes.of_targets(targets, len(met.batch))
        if met.forward.in_train_mode:
            notes.add(_IN_TRAIN_MODE)
        with self._adapter.exclusive(), met.forward.observed() as observed:
            explaining = Explaining(model, self._call, (), notes)
            try:
                return explaining.at(met.batch, met.given, targets, met.chosen, met.how, observed)
            except MethodError as error:
                if not met.forward.in_train_mode:
                    raise
                raise MethodError(
                    f"{error} The forward ran in train mode, where dropout or batch norm in the head may be the "
                    "reason; camscope.training.cam follows these."
                ) from error

    def _meet(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make one of the user's forwards."""
        given, batch, chosen, how = self._looked(_as_inputs(own, args, kwargs))
        needs = self._needs(chosen)
        output, forward = self._adapter.follow(batch, needs, lambda: own(*args, **kwargs))
        self._met = _Met(forward, given, batch, chosen, how)
        return output

    def _looked(self, inputs: Any) -> tuple[Inputs, Batch, Chosen, Mapping[str, Any]]:
        model, call = self._model, self._call
        with self._adapter.exclusive():
            given, batch = model.prepared(inputs, self._explained_input)
            if batch.of_tokens:
                raise ModelError(
                    "watching() does not follow texts. Call the Explainer itself: explainer(tokens)."
                )
            chosen, how = choose_layers(
                self._adapter, batch, call.layers, call.expressions, call.channels, model.grid
            )
        return given, batch, chosen, {**how, "forward": "the user's own"}

    def _needs(self, chosen: Chosen) -> LayerNeeds:
        call = self._call
        direct, _ = sort_requests([Request(e, chosen.of(e)) for e in call.expressions])
        channels = StrongestChannels(call.channels, chosen.single) if call.channels else None
        return needs_by_layer(direct, self._adapter.offers, channels)


def _of_detector(model: Model) -> bool:
    return model.info.explained == "instance"


def _as_inputs(own: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A forward's arguments as what an Explainer is called with: one input, a tuple, or a dictionary by keyword."""
    args, kwargs = _apart(args), _apart(kwargs)
    if not kwargs:
        return args[0] if len(args) == 1 else args
    if not args:
        return kwargs
    bound = inspect.signature(own).bind(*args, **kwargs)
    variable = inspect.Parameter.VAR_POSITIONAL
    if any(bound.signature.parameters[name].kind is variable for name in bound.arguments):
        raise InputError(
            "Call the watched model with all inputs by position, or with all of them by keyword."
        )
    named = dict(bound.arguments)
    for name in [*named]:
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named |= named.pop(name)
    return named


def _apart(value: Any) -> Any:
    """The same numbers, apart from the user's graph."""
    if isinstance(value, Mapping):
        return {name: _apart(one) for name, one in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_apart(one) for one in value)
    return value.detach() if hasattr(value, "detach") else value
