"""Every shape in an annotation is one that is checked: a string that is nothing but a shape.

A shape that Python could read as an expression loses its quotes to the formatter, and unquoted it is no shape: of
`Float[np.ndarray, out]` and `Float[np.ndarray, batch * size]` nothing is known at run time, so nothing is checked. With
a space in front (`" out"`, `" batch *size"`) it keeps them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

import camscope

SOURCE = Path(camscope.__file__).parent

KINDS = {name for name in dir(jaxtyping) if hasattr(getattr(jaxtyping, name), "dtypes")}


def never_checked(code: str) -> Iterator[tuple[int, str]]:
    """Line and text of every shape that is none."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in KINDS:
            _, shape = node.slice.elts
            if (
                not isinstance(shape, ast.Constant)
                or not isinstance(shape.value, str)
                or could_be_python(shape.value)
            ):
                yield node.lineno, ast.unparse(node)


def could_be_python(shape: str) -> bool:
    """Whether a shape reads as an expression, so that its quotes seem needless."""
    try:
        ast.parse(shape, mode="eval")
    except SyntaxError:
        return False
    return not shape.startswith(" ")


def test_every_shape_is_checked():
    files = {str(path.relative_to(SOURCE)): path.read_text() for path in SOURCE.rglob("*.py")}
    found = [f"{name}:{line} {text}" for name, code in files.items() for line, text in never_checked(code)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("shape", ["out", "batch * size", "4", "...", '"out"', '"..."', '"4"', '"a*b"'])
def test_what_is_no_shape_is_seen(shape):
    assert [line for line, _ in never_checked(f"x = 1\ny: Float[np.ndarray, {shape}]")] == [2]


@pytest.mark.parametrize(
    "shape", ['" out"', '" batch *size"', '"*shape"', '" ..."', '"a b"', '""', '"_ ..."']
)
def test_what_is_a_shape_is_left_alone(shape):
    assert not list(never_checked(f"x: Float[np.ndarray, {shape}]"))
