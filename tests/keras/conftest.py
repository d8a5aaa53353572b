"""Models, and a look at all there is of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

pytest.importorskip("keras")

import keras

from camscope.models.keras.backends import to_numpy
from camscope.models.keras.layer_names import named_layers
from tests.keras import nets


@pytest.fixture(scope="package", autouse=True)
def jax_compiles_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """On JAX, Keras runs operation by operation, and each is a program; models have many of them in common."""
    if keras.backend.backend() != "jax":
        yield
        return
    from tests.jax_compiling import compiled_once

    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="session")
def made() -> Callable[[Any], nets.Net]:
    """Each model is made once: nobody changes it."""
    kept: dict[Any, nets.Net] = {}

    def get(make: Any) -> nets.Net:
        if make not in kept:
            kept[make] = make()
        return kept[make]

    return get


@pytest.fixture(params=nets.NETS, ids=lambda make: make.__name__)
def net(request: pytest.FixtureRequest, made: Any) -> nets.Net:
    """One kind of model after the other."""
    return made(request.param)


def state(model: Any) -> dict[str, Any]:
    """All that could be seen to differ afterwards."""
    every = {"": model, **named_layers(model)}
    return {
        "values": [to_numpy(v.value).tobytes() for v in model.variables],
        "identities": [(id(v), id(v.value)) for v in model.variables],
        "attributes": {name: _attributes(layer) for name, layer in every.items()},
        "losses": [len(getattr(layer, "_losses", ())) for layer in every.values()],
        "scope": keras.src.backend.in_stateless_scope(),
    }


def _attributes(layer: Any) -> dict[str, Any]:
    plain = (bool, int, float, str, type(None), tuple)
    return {key: value if isinstance(value, plain) else id(value) for key, value in vars(layer).items()}


@pytest.fixture
def untouched() -> Callable[[Any], AbstractContextManager[None]]:
    """A context in which a model must stay as it is."""

    @contextmanager
    def check(model: Any) -> Iterator[None]:
        before = state(model)
        yield
        assert state(model) == before

    return check
