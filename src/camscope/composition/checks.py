"""What makes no sense together is refused before any work is done."""

from __future__ import annotations

from camscope.composition.expressions import (
    Augment,
    Balanced,
    Expression,
    Finer,
    Fuse,
    Modifier,
    MultiScale,
    Rest,
    Smooth,
    fuses,
    modifiers,
)
from camscope.composition.wrappers import check_transforms
from camscope.errors import MethodError
from camscope.evidence import BACKWARD, Need
from camscope.methods.registry import Method


def check(expression: Expression) -> None:
    """Refuse a composition that has no meaning.

    Args:
        expression: simplified.

    Raises:
        MethodError: saying why, and what would do.
    """
    if isinstance(expression, Method):
        return
    inner, m = expression.inner, expression.method
    check(inner)
    if isinstance(expression, Fuse):
        if m.scope == "model":
            raise MethodError(
                f"{expression.name}: {m.name} is one map of the whole model; there is nothing to fuse."
            )
        if fuses(inner):
            raise MethodError(f"{expression.name}: one fusion inside another; fuse once.")
        if m.base == "guided-gradcam":
            raise MethodError(
                f"{expression.name}: {m.name} is at the input's size already; fuse gradcam instead."
            )
    averages_gradients = isinstance(expression, Smooth) and expression.average == "gradients"
    if isinstance(expression, MultiScale) or averages_gradients:
        plain = isinstance(inner, (Method, Modifier))
        fits = m.needs == {Need.ACTIVATIONS, Need.GRADIENTS} or (averages_gradients and m.base == "fullgrad")
        if not (plain and fits):
            what = "activations and gradients" if isinstance(expression, MultiScale) else "gradients"
            others = ", smooth(…) averages maps" if averages_gradients else ", augment(…) averages maps"
            raise MethodError(
                f"{expression.name}: {expression.word} averages {what}, which {inner.name} is not a plain method of. "
                f"gradcam, hirescam or layercam would do{others}."
            )
    if isinstance(expression, Augment):
        check_transforms(expression.transforms)
    if isinstance(expression, Modifier) and any(
        isinstance(one, type(expression)) for one in modifiers(inner)
    ):
        raise MethodError(f"{expression.name}: {expression.word} twice; once is enough.")
    if isinstance(expression, (Finer, Rest)) and not m.class_specific:
        raise MethodError(f"{expression.name}: {m.name} knows no class, so another target changes nothing.")
    if isinstance(expression, Balanced) and not m.needs & BACKWARD:
        raise MethodError(f"{expression.name}: {m.name} uses no gradients, so there is nothing to balance.")
