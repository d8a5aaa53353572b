"""The NumPy framework is known while these tests run, and not afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from camscope.models import registry
from tests.conformance.cases import CASES, Case
from tests.conformance.numpy_doorway import FRAMEWORK
from tests.jax_compiling import compiled_once


@pytest.fixture(scope="package", autouse=True)
def numpy_framework() -> Iterator[None]:
    """Registered as another package would; every other framework stays known."""
    before = list(registry.FRAMEWORKS)
    registry.register_framework(FRAMEWORK)
    yield
    registry.FRAMEWORKS[:] = before


@pytest.fixture(scope="package", autouse=True)
def jax_compiles_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """One framework after the other."""
    return request.param
