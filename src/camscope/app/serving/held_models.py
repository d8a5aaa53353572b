"""The models of a server: each is loaded in a thread of its own, and a model that cannot be loaded says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from camscope.app.serving.refusals import NotFoundError
from camscope.app.serving.worker import Worker
from camscope.engine import Explainer
from camscope.engine.listings import LayerTable
from camscope.errors import CamscopeError, ModelError


class HeldModel:
    """One model. It is loaded at once, in the thread that explains by it later.

    Args:
        id: what requests call it.
        name: what people call it.
        spec: how it is named in a command; None for an object.
        open: loads it.
    """

    def __init__(self, id: str, name: str, spec: str | None, open: Callable[[], Explainer]) -> None:
        self.id, self.name, self.spec = id, name, spec
        self.worker = Worker(name)
        self._open = open
        self._explainer: Explainer | None = None
        self._layers: LayerTable | None = None
        self.error: str | None = None
        self.worker.begin(self._load)

    def _load(self) -> None:
        try:
            explainer = self._open()
            if not explainer.reads_texts:
                self._layers = (
                    explainer.layers()
                )  # looked at once, so that the first photo need not wait for it
            self._explainer = explainer
        except CamscopeError as error:
            self.error = str(error)
        except Exception as error:  # a model of the user's own may raise anything, and the server stays
            self.error = f"{self.name} cannot be loaded: {type(error).__name__}: {error}"

    @property
    def status(self) -> str:
        """`loading`, `ready` or `failed`."""
        return "failed" if self.error is not None else "loading" if self._explainer is None else "ready"

    @property
    def explainer(self) -> Explainer:
        """The explainer, in the model's own thread, where it is loaded by then.

        Raises:
            ModelError: if it could not be loaded.
        """
        if self._explainer is None:
            raise ModelError(self.error or f"The model {self.name} is still being loaded.")
        return self._explainer

    def facts(self) -> Mapping[str, Any]:
        """What a page is told of it."""
        e = self._explainer
        return {
            "id": self.id,
            "name": self.name,
            "spec": self.spec,
            "status": self.status,
            "error": self.error,
            "kind": None if e is None else _kind(e),
            "classes": None if e is None or e.class_names is None else len(e.class_names),
            "default_method": None if e is None else e.default_method,
        }


def _kind(explainer: Explainer) -> str:
    if explainer.reads_texts:
        return "texts"
    if explainer.hears_sounds:
        return "sounds"
    if explainer.detects:
        return "detector"
    return "captions" if explainer.compares_captions else "classifier"


class HeldModels:
    """All models of a server, in the order they were named."""

    def __init__(self) -> None:
        self._held: dict[str, HeldModel] = {}

    def __iter__(self) -> Iterator[HeldModel]:
        return iter(self._held.values())

    def add(self, name: str, open: Callable[[], Explainer], *, spec: str | None = None) -> HeldModel:
        """Have one more, which begins to be loaded.

        Args:
            name: what people call it.
            open: loads it.
            spec: how it is named in a command; None for an object.
        """
        held = HeldModel(f"m{len(self._held) + 1}", name, spec, open)
        self._held[held.id] = held
        return held

    def of(self, id: str) -> HeldModel:
        """One of them.

        Raises:
            NotFoundError: if there is no such model.
        """
        if id not in self._held:
            there = ", ".join(f"{held.id} ({held.name})" for held in self) or "none: start with --model"
            raise NotFoundError(f"There is no model {id!r} here. There are: {there}.")
        return self._held[id]
