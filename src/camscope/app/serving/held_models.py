"""The models of a server: each has a thread of its own, and one that cannot be loaded says why."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from camscope.app.serving.held_photos import Given
from camscope.app.serving.refusals import NotFoundError
from camscope.app.serving.worker import Worker
from camscope.engine import Explainer
from camscope.engine.listings import LayerTable, OfferTable
from camscope.errors import CamscopeError, InputError, ModelError
from camscope.methods import list_methods
from camscope.outputs import Dense
from camscope.signals import Sound
from camscope.targets import TargetLike

_CHEAPEST = next(m.name for m in list_methods() if m.baseline)
"""A method that takes no more than a forward."""

_LOADING = threading.Lock()
"""Models are loaded one after the other: packages that import their parts as they are needed, as transformers does, are
no more than half there for a second thread."""

_ASKED = 256


class NamedTarget(NamedTuple):
    """What a target is called in an input, its class, and whether it has a probability."""

    title: str
    number: int | None
    probable: bool


_SIZE = (224, 224)


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
        self._layers: dict[bool, LayerTable] = {}
        self._offers: asyncio.Future[OfferTable] | None = None
        self._asked: dict[tuple[str, tuple[str, ...]], list[NamedTarget]] = {}
        self._kind: str | None = None
        self.error: str | None = None
        self.worker.begin(self._load)

    def _load(self) -> None:
        try:
            with _LOADING:
                self._explainer = self._open()
            self._kind = _kind(self._explainer)
        except CamscopeError as error:
            self.error = str(error)
        except Exception as error:  # a model of the user's own may raise anything, and the server stays
            self.error = f"{self.name} cannot be loaded: {type(error).__name__}: {error}"
        else:
            self.worker.begin(
                self.layers
            )  # behind all photos that wait; what is wrong is said when they are asked for

    def takes(self, given: Given) -> Explainer:
        """The explainer, for a photo or a sound.

        Args:
            given: what is to be explained.

        Raises:
            InputError: if the model takes something else, saying what.
            ModelError: if it could not be loaded.
        """
        e = self.explainer
        this = "sound" if isinstance(given, Sound) else "photo"
        if e.reads_texts:
            raise InputError(
                f"The model {self.name} reads texts, and this is a {this}: write one into its field."
            )
        if e.hears_sounds != (this == "sound"):
            other = "sounds: drop a .wav file" if e.hears_sounds else "photos: drop one"
            raise InputError(f"The model {self.name} takes {other}. This is a {this}.")
        return e

    def refuse_all_but_texts(self) -> None:
        """Refuse texts for a model that reads none.

        Raises:
            InputError: saying what to do.
        """
        if not self.explainer.reads_texts:
            raise InputError(
                f"The model {self.name} reads no texts: drop a photo, or start with one that does."
            )

    @property
    def status(self) -> str:
        """`loading`, `ready` or `failed`."""
        return "failed" if self.error is not None else "loading" if self._kind is None else "ready"

    @property
    def explainer(self) -> Explainer:
        """The explainer, in the model's own thread, where it is loaded by then.

        Raises:
            ModelError: if it could not be loaded.
        """
        if self._explainer is None:
            raise ModelError(self.error or f"The model {self.name} is still being loaded.")
        return self._explainer

    def layers(self, *, every: bool = False) -> LayerTable:
        """The layers with a grid, looked at once.

        Args:
            every: whether those inside of blocks are listed too.

        Raises:
            ModelError: if the model could not be loaded.
            LayerError: if it has none.
        """
        if every not in self._layers:
            self._layers[every] = self.explainer.layers(every=every)
        return self._layers[every]

    async def methods(self) -> OfferTable:
        """All methods, tried on the model once, and one by one, so that photos come in between.

        Raises:
            ModelError: if the model could not be loaded.
        """
        if self._offers is None:
            self._offers = asyncio.ensure_future(self._tried())
        try:
            return await asyncio.shield(self._offers)
        except CamscopeError:
            self._offers = None
            raise

    async def _tried(self) -> OfferTable:
        explainer = await self.worker.do(lambda: self.explainer)
        offers, found = explainer.offers(), OfferTable()
        while (offer := await self.worker.do(lambda: next(offers, None))) is not None:
            found.append(offer)
        return found

    def asked(
        self, input: str, given: Any, words: tuple[str, ...], targets: Sequence[TargetLike]
    ) -> list[NamedTarget]:
        """What targets are called in an input, their classes, and whether they have a probability; found out once.

        Args:
            input: a photo's id, or a text.
            given: the input as it was prepared.
            words: the targets as they were written.
            targets: likewise, as they are explained.
        """
        key = (input, words)
        if key not in self._asked:
            e = self.explainer(given, methods=_CHEAPEST, targets=targets)
            self._asked[key] = [
                NamedTarget(title, info.index, e.probability(0, number) is not None)
                for number, (title, info) in enumerate(zip(e.titles[0], e.targets[0], strict=True))
            ]
            while len(self._asked) > _ASKED:
                del self._asked[next(iter(self._asked))]
        return self._asked[key]

    def facts(self) -> Mapping[str, Any]:
        """What a page is told of it."""
        e = None if self._kind is None else self._explainer
        return {
            "id": self.id,
            "name": self.name,
            "spec": self.spec,
            "status": self.status,
            "error": self.error,
            "kind": self._kind,
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
    if explainer.compares_captions:
        return "captions"
    size = _SIZE if explainer.preprocessing is None else explainer.preprocessing.input_size
    grey = Image.new("RGB", (size[1], size[0]), "gray")
    try:
        return "segmenter" if isinstance(explainer.outputs(grey).predictions, Dense) else "classifier"
    except InputError:  # it does not say how photos are prepared, or takes none: who gives one is told so
        return "classifier"


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
