"""The models of a server: each is loaded in a thread of its own, and a model that cannot be loaded says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from camscope.app.serving.refusals import NotFoundError
from camscope.app.serving.worker import Worker
from camscope.engine import Explainer
from camscope.engine.listings import LayerTable, OfferTable
from camscope.errors import CamscopeError, InputError, ModelError
from camscope.methods import list_methods
from camscope.outputs import Dense
from camscope.targets import TargetLike

_CHEAPEST = next(m.name for m in list_methods() if m.baseline)
"""A method that takes no more than a forward."""

_ASKED = 256
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
        self._offers: OfferTable | None = None
        self._asked: dict[tuple[str, tuple[str, ...]], list[tuple[str, int | None, bool]]] = {}
        self._dense = self._looked = False
        self.error: str | None = None
        self.worker.begin(self._load)
        self.worker.begin(self._look)

    def _load(self) -> None:
        try:
            self._explainer = self._open()
        except CamscopeError as error:
            self.error = str(error)
        except Exception as error:  # a model of the user's own may raise anything, and the server stays
            self.error = f"{self.name} cannot be loaded: {type(error).__name__}: {error}"

    def _look(self) -> None:
        """Look at layers and outputs before they are asked for; what is wrong is said when they are."""
        e = self._explainer
        try:
            if e is not None and not (e.reads_texts or e.hears_sounds):
                self.layers()
                if not (e.detects or e.compares_captions):
                    size = _SIZE if e.preprocessing is None else e.preprocessing.input_size
                    grey = Image.new("RGB", (size[1], size[0]), "gray")
                    self._dense = isinstance(e.outputs(grey).predictions, Dense)
        finally:
            self._looked = True

    def refuse_photos(self) -> None:
        """Refuse photos for a model that takes something else.

        Raises:
            InputError: saying what.
        """
        e = self.explainer
        if e.reads_texts or e.hears_sounds:
            what, how = (
                ("reads texts", "POST /api/texts") if e.reads_texts else ("takes sounds", "camscope explain")
            )
            raise InputError(f"The model {self.name} {what}, and this is a photo: {how} explains them.")

    @property
    def status(self) -> str:
        """`loading`, `ready` or `failed`."""
        return "failed" if self.error is not None else "ready" if self._looked else "loading"

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

    def methods(self) -> OfferTable:
        """All methods, tried on the model once.

        Raises:
            ModelError: if the model could not be loaded.
        """
        if self._offers is None:
            self._offers = self.explainer.methods()
        return self._offers

    def asked(
        self, photo: str, given: Any, words: tuple[str, ...], targets: Sequence[TargetLike]
    ) -> list[tuple[str, int | None, bool]]:
        """What targets are called in a photo, their classes, and whether they have a probability; found out once.

        Args:
            photo: its id.
            given: the photo as it was prepared.
            words: the targets as they were written.
            targets: likewise, as they are explained.
        """
        key = (photo, words)
        if key not in self._asked:
            e = self.explainer(given, methods=_CHEAPEST, targets=targets)
            self._asked[key] = [
                (title, info.index, e.probability(0, number) is not None)
                for number, (title, info) in enumerate(zip(e.titles[0], e.targets[0], strict=True))
            ]
            while len(self._asked) > _ASKED:
                del self._asked[next(iter(self._asked))]
        return self._asked[key]

    def facts(self) -> Mapping[str, Any]:
        """What a page is told of it."""
        e = self._explainer if self._looked else None
        return {
            "id": self.id,
            "name": self.name,
            "spec": self.spec,
            "status": self.status,
            "error": self.error,
            "kind": None if e is None else "segmenter" if self._dense else _kind(e),
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
