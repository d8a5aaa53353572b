"""Programs are compiled once for all models here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jax_compiling import compiled_once


@pytest.fixture(scope="package", autouse=True)
def jax_compiles_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield
