"""The scores before a final softmax or sigmoid, found in the last equations of a traced model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

EndKind: TypeAlias = Literal["softmax", "sigmoid"]

_SAME_NUMBERS = {"reshape", "squeeze", "convert_element_type", "copy", "copy_p", "optimization_barrier"}
"""Operations that leave every number as it is."""

_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat2"}
"""Operations that stand for several others."""


def with_scores_before_the_end(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that gives what goes into its final softmax or sigmoid too.

    It reads the equations that JAX makes of the function, so it does not matter how the softmax was written. What it
    finds by their form alone is to be checked in numbers: see `agrees`.

    Args:
        function: a function that JAX can trace, whose first output is the array in question.

    Returns:
        A function of the same inputs. It gives which end it is, the scores that go into it in the shape of what comes
        out (both None where the last equations are neither), and the outputs.
    """

    def seen_through(*inputs: Any) -> tuple[EndKind | None, Any | None, Any]:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*inputs)
        found, opened = _find(closed)
        jaxpr = opened.jaxpr
        wanted = [*jaxpr.outvars, *([] if found is None else [found[1]])]
        extended = jex.ClosedJaxpr(jaxpr.replace(outvars=wanted, debug_info=_unnamed(jaxpr)), opened.consts)
        outputs = jex.jaxpr_as_fun(extended)(*jax.tree_util.tree_leaves(inputs))
        kind = scores = None
        if found is not None:
            kind = found[0]
            *outputs, scores = outputs
            scores = scores.reshape(outputs[0].shape).astype(outputs[0].dtype)
        return kind, scores, jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shapes), outputs)

    return seen_through


def agrees(
    kind: EndKind, scores: Float[np.ndarray, " batch *n"], returned: Float[np.ndarray, " batch *n"]
) -> bool:
    """Whether the end of these scores is what was returned, in numbers.

    Args:
        kind: which end.
        scores: what goes into it.
        returned: what came out.
    """
    near = max(1e-5, 4 * float(jnp.finfo(returned.dtype).eps))  # type: ignore[no-untyped-call]
    scores, returned = scores.astype(np.float64), returned.astype(np.float64)
    if kind == "sigmoid":
        ends = [1 / (1 + np.exp(-np.clip(scores, -700, 700)))]
    else:
        powers = [np.exp(scores - scores.max(axis, keepdims=True)) for axis in range(1, scores.ndim)]
        ends = [power / power.sum(axis, keepdims=True) for axis, power in enumerate(powers, 1)]
    return any(np.allclose(end, returned, rtol=100 * near, atol=near, equal_nan=True) for end in ends)


def _find(closed: Any) -> tuple[tuple[EndKind, Any] | None, Any]:
    """Which end the first output has, and the variable before it; and the program, its last call written out."""
    jaxpr, consts = closed.jaxpr, list(closed.consts)
    made_by = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}
    kind: EndKind | None = None
    seen: list[str] = []
    at = jaxpr.outvars[0]
    while at in made_by if isinstance(at, jex.Var) else False:
        eqn = made_by[at]
        name = eqn.primitive.name
        if name in _CALLS:
            written_out = _written_out(closed, eqn)
            return (None, closed) if written_out is None else _find(written_out)
        if name in _SAME_NUMBERS:
            at = eqn.invars[0]
        elif name == "logistic" and not seen:
            kind, at = "sigmoid", eqn.invars[0]
            break
        elif name == "div" and not seen and _is_spread(eqn.invars[1], eqn.invars[0], made_by):
            seen.append(name)
            at = eqn.invars[0]
        elif name == "exp" and kind is None:
            kind, at = "softmax", eqn.invars[0]
        elif name == "sub" and kind == "softmax" and _is_spread(eqn.invars[1], eqn.invars[0], made_by):
            at = eqn.invars[0]
        else:
            break
    return (None if kind is None or isinstance(at, jex.Literal) else (kind, at)), jex.ClosedJaxpr(
        jaxpr, consts
    )


def _is_spread(one: Any, over: Any, made_by: dict[Any, Any]) -> bool:
    """Whether a value is the same along some axis of another one, as a sum or a maximum over that axis is."""
    if isinstance(one, jex.Literal):
        return False
    axes = [
        axis for axis, (n, of) in enumerate(zip(one.aval.shape, over.aval.shape, strict=True)) if n == 1 != of
    ]
    eqn = made_by.get(one)
    if not axes and eqn is not None and eqn.primitive.name == "broadcast_in_dim":
        placed = dict(zip(eqn.params["broadcast_dimensions"], eqn.invars[0].aval.shape, strict=True))
        axes = [axis for axis, n in enumerate(over.aval.shape) if n > 1 and placed.get(axis, 1) == 1]
    return bool(axes)


def _written_out(closed: Any, call: Any) -> Any | None:
    """The program with one call's own equations in its place; None if it holds none."""
    inner = call.params.get("jaxpr", call.params.get("call_jaxpr"))
    if inner is None:
        return None
    if not isinstance(inner, jex.ClosedJaxpr):
        inner = jex.ClosedJaxpr(inner, [])
    made = {out for eqn in inner.jaxpr.eqns for out in eqn.outvars}
    if len({*inner.jaxpr.outvars} & made) < len(inner.jaxpr.outvars):
        return None  # hands an input or a constant on, which no equation here could
    outer_name: dict[Any, Any] = dict(zip(inner.jaxpr.invars, call.invars, strict=True))
    outer_name |= zip(inner.jaxpr.outvars, call.outvars, strict=True)

    def named(atom: Any) -> Any:
        return atom if isinstance(atom, jex.Literal) else outer_name.get(atom, atom)

    eqns = []
    for eqn in closed.jaxpr.eqns:
        if eqn is not call:
            eqns.append(eqn)
            continue
        for own in inner.jaxpr.eqns:
            ins, outs = [*map(named, own.invars)], [*map(named, own.outvars)]
            eqns.append(own.replace(invars=ins, outvars=outs))
    constants = [*closed.jaxpr.constvars, *inner.jaxpr.constvars]
    jaxpr = closed.jaxpr.replace(eqns=eqns, constvars=constants, debug_info=_unnamed(closed.jaxpr))
    return jex.ClosedJaxpr(jaxpr, [*closed.consts, *inner.consts])


def _unnamed(jaxpr: Any) -> Any:
    """What is known of a program for people who debug it, without names of results, whose number changes."""
    return jaxpr.debug_info._replace(result_paths=None)
