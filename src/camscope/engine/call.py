"""What one call asks for, whatever its inputs are. What the model cannot give is refused before any work is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from camscope.composition import (
    Expression,
    alters_input,
    by_backbone,
    by_fpn_level,
    check,
    list_methods,
    parse,
    simplified,
)
from camscope.engine.layer_choice import Layers
from camscope.engine.requests import StrongestChannels
from camscope.errors import InputError, MethodError
from camscope.evidence import OF_INPUTS, Need, in_words
from camscope.methods import Explained, default_method

MethodsLike: TypeAlias = "str | Expression | Sequence[str | Expression] | None"
"""One method or several: names, text, or objects; None takes the default one."""


@dataclass(frozen=True)
class Call:
    """What one call asks for.

    Attributes:
        wanted: the methods as they were written, by their names.
        plain: the same methods after `camscope.composition.simplified`, by the same names.
        layers: the layers as the user named them; None for the automatic choice.
        channels: how many of the strongest channels are kept.
        seed: the seed of random draws.
        needs: of all methods together, of what the model offers.
        beside: of a detector's methods that follow gradients, the same at the backbone, by the same names.
    """

    wanted: Mapping[str, Expression]
    plain: Mapping[str, Expression]
    layers: Layers
    channels: int
    seed: int
    needs: frozenset[Need]
    beside: Mapping[str, Expression] = dataclasses.field(default_factory=dict)

    @property
    def named(self) -> list[tuple[str, Expression]]:
        """The simplified methods with their names; at the backbone too, after each."""
        also = self.beside
        return [
            (name, one) for name, e in self.plain.items() for one in (e, also.get(name)) if one is not None
        ]

    @property
    def expressions(self) -> list[Expression]:
        """The simplified methods."""
        return [e for _, e in self.named]

    def at_fpn_levels(self, *, and_backbone: bool) -> Call:
        """The same call with each method at the FPN level that a target comes from.

        Args:
            and_backbone: whether there is a backbone with stages, where each is wanted too.
        """
        backbone = {name: by_backbone(e) for name, e in self.plain.items()} if and_backbone else {}
        return dataclasses.replace(
            self,
            plain={name: by_fpn_level(e) for name, e in self.plain.items()},
            beside={name: e for name, e in backbone.items() if e is not None},
        )


def read_call(
    methods: MethodsLike,
    offers: frozenset[Need],
    *,
    explained: Explained,
    layers: Layers,
    channels: int,
    seed: int,
) -> Call:
    """Read what a user asks for.

    Args:
        methods: see `MethodsLike`.
        offers: the needs that the model can meet.
        explained: whether a class or an instance is explained, which decides on the default method.
        layers: see `Call`.
        channels: see `Call`.
        seed: see `Call`.

    Raises:
        InputError: if `channels` is no number of channels.
        MethodError: for a method that does not exist, makes no sense, or needs what the model cannot give.
    """
    _check_channels(channels)
    if methods is None:
        methods = default_method(offers, explained)
    listed: list[Any] = list(methods) if isinstance(methods, (list, tuple)) else [methods]
    wanted = {e.name: e for e in (parse(m) for m in listed)}
    if not wanted:
        raise MethodError("The list of methods is empty.")
    plain = {name: simplified(e) for name, e in wanted.items()}
    for name, e in plain.items():
        check(e)
        _check_offered(e.needs_from(offers), name, offers)
    if channels:
        _check_offered(StrongestChannels.needs_from(offers), "channels=", offers)
    needs = frozenset[Need]().union(*(e.needs_from(offers) for e in plain.values()))
    return Call(wanted, plain, layers, channels, seed, needs)


def check_tokens(name: str, e: Expression) -> None:
    """Refuse a method that alters the input or differentiates by it, since nothing lies between two token numbers.

    Raises:
        MethodError: if it does; the message names methods that work.
    """
    what = unfit_for_tokens(e)
    if not what:
        return
    able = [
        m.name
        for m in list_methods()
        if not m.needs & OF_INPUTS and not m.method.baseline and not alters_input(simplified(m))
    ]
    raise MethodError(
        f"{name} needs {what}, and this input is token numbers: nothing lies between two tokens, so they can be "
        f"neither altered a little nor differentiated by. These work on texts: {', '.join(able)} (attention methods "
        "where tokens attend to one another); fused, finer, rest and balanced too."
    )


def unfit_for_tokens(e: Expression) -> str:
    """What an expression needs that token numbers do not give, in words; empty if there is nothing."""
    lacking = e.needs & OF_INPUTS
    return in_words(lacking) or ("altered inputs" if alters_input(e) else "")


def _check_channels(given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 0:
        whole = isinstance(given, float) and given > 0 and given.is_integer()
        raise InputError(
            f"channels={given!r}: expected how many of the strongest feature maps to keep, a whole number such as "
            f"{int(given) if whole else 16}; 0 keeps none."
        )


def _check_offered(needs: frozenset[Need], name: str, offers: frozenset[Need]) -> None:
    lacking = needs - offers
    if not lacking:
        return
    able = [m for m in list_methods() if m.needs_from(offers) <= offers]
    less = [m.name for m in able if m.method is m and Need.DIRECTIONS in m.needs_from(offers)]
    why = ""
    if Need.GRADIENTS in lacking and less:
        why = (
            f" It can give {Need.DIRECTIONS.value}, sums of a gradient over a channel or a position, which is all that "
            f"{', '.join(less)} need; of single elements of the gradient they say nothing."
        )
    raise MethodError(
        f"This model cannot give {in_words(lacking)}, which {name} needs.{why} These would work: "
        f"{', '.join(m.name for m in able)}."
    )
