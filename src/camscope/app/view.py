"""What the page is given of explanations: photos or texts and raw maps, as plain values that JSON can store.

`frontend/src/view.ts` says the same in the page's own words. Maps stay raw and small: the page places, scales and
colours them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from camscope.app.sound_picture import SIZE, as_rows, pictured
from camscope.app.target_facts import label_of, target_of, top_of
from camscope.app.text_facts import text_facts
from camscope.arrays import to_numpy
from camscope.composition import parse
from camscope.errors import ImageError, InputError
from camscope.images import Geometry
from camscope.inputs import InputImage
from camscope.methods import Method
from camscope.render.colour import lut
from camscope.results import Explanation
from camscope.results.figures.labels import image_name, model_of
from camscope.results.map_data import Key
from camscope.results.saving import finite

_TOP = 5
_COLOURS = ("inferno", "viridis", "cividis", "magma", "turbo", "jet", "gray")
_SIGNED_COLOURS = ("cmasher:iceburn", "crameri:vik", "colorbrewer:RdBu_r")
_QUALITY = 80
GONE = "The photo is not there any more"
"""How the note of such a photo begins."""

_GROUND = (72, 74, 78)


@dataclass
class View:
    """Explanations of photos, sounds or texts by one model, one by one.

    Attributes:
        title: of the page; "" names the model.
        spec: how the model is named in a command; None for an object of the user's own.
        side: of the pictures, in pixels along the longer side, at most.
        photos: what the page is given of each photo or sound.
        texts: what it is given of each text.
    """

    title: str
    spec: str | None = None
    side: int = 640
    photos: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    _facts: dict[str, Any] = field(default_factory=dict)
    _ranges: dict[Key, tuple[float, float]] = field(default_factory=dict)

    def add(
        self,
        e: Explanation,
        *,
        names: Sequence[str] | None = None,
        written: Sequence[str] | None = None,
        address: Callable[[int], str] | None = None,
    ) -> None:
        """Add the photos or texts of one explanation. Where a photo is gone, its maps are shown without it.

        Args:
            e: of photos, sounds or texts, by the same model, methods and layers as those before.
            names: what each is called; None takes its file's name, or the first words of a text.
            written: texts as they were given, of which an explanation keeps the words alone; None joins these.
            address: where a browser finds the picture of a photo, by its number in the explanation; None puts the
                picture itself there.

        Raises:
            InputError: if it is of volumes, of another model, or by other methods or at other layers.
        """
        if not can_be_shown(e):
            raise InputError(
                f"A report shows photos, sounds and texts, and this is an explanation of {e.noun}s without pictures. "
                "e.figure() and e.save(FILE.npz) show and keep it."
            )
        facts = _facts_of(e)
        if not self._facts:
            self._facts = facts
        for name, before in self._facts.items():
            if name in ("model", "keys") and facts[name] != before:
                raise InputError(
                    f"These {e.noun}s are explained otherwise than those before: {name} {facts[name]}, and "
                    f"before {before}. A report is of one model, the same methods and layers."
                )
        self._facts["notes"] = [*dict.fromkeys([*self._facts["notes"], *facts["notes"]])]
        if e.of_texts:
            self.texts += [
                text_facts(
                    e,
                    number,
                    top=_TOP,
                    name=None if names is None else names[number],
                    written=None if written is None else written[number],
                )
                for number in range(len(e))
            ]
            return
        for key, raw in e.raw.items():
            maps = to_numpy(raw)
            maps = np.maximum(maps, 0) if e.facts[key[0]].rectified else maps
            finite = maps[np.isfinite(maps)]
            if finite.size:
                low, high = self._ranges.get(key, (np.inf, -np.inf))
                self._ranges[key] = min(low, float(finite.min())), max(high, float(finite.max()))
        for image in range(len(e)):
            called = None if names is None else names[image]
            place = None if address is None else address(image)
            self.photos.append(_photo(e, image, self.side, called, place))

    @property
    def notes(self) -> list[str]:
        """What a careful reader should be told, of all photos together."""
        return list(self._facts.get("notes", []))

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What there is to look at, whatever it is of: `texts` or `photos`."""
        return self.texts or self.photos

    def to_dict(self, entries: Iterable[Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """The view as plain values.

        Args:
            entries: some of `entries`; None for all.
        """
        shown = list(self.entries if entries is None else entries)
        return {
            "version": 1,
            "title": self.title
            or usual_title(self._facts.get("model", "a model"), of_texts=bool(self.texts)),
            "spec": self.spec,
            "colormaps": colour_maps(),
            **({"photos": [], "texts": shown} if self.texts else {"photos": shown}),
            "keys": [
                {"method": key[0], "layer": key[1], "range": list(self._ranges.get(key, (0.0, 1.0)))}
                for key in self._facts.get("keys", ())
            ],
            **{
                name: self._facts.get(name, usual)
                for name, usual in {
                    "model": "",
                    "untrained": False,
                    "methods": [],
                    "notes": [],
                    "versions": "",
                }.items()
            },
        }


def usual_title(model: str, *, of_texts: bool) -> str:
    """What a report is called that was given no name.

    Args:
        model: what the model is called.
        of_texts: whether it is of texts.
    """
    return f"Which words {model} goes by" if of_texts else f"Where {model} looks"


def can_be_shown(e: Explanation) -> bool:
    """Whether the page can show it: of texts, of photos, or of signals that there still are.

    Args:
        e: an explanation.
    """
    there = e.input_images.has_signal if e.of_signals else e.input_images.has
    return e.of_texts or all(map(there, range(len(e))))


def _facts_of(e: Explanation) -> dict[str, Any]:
    versions = e.provenance.get("versions") or {}
    return {
        "model": model_of(e),
        "untrained": bool(e.untrained),
        "keys": list(e.raw),
        "methods": [
            about_method(name, e.facts[name].paper, rectified=e.facts[name].rectified) for name in e.methods
        ],
        "notes": list(e.notes),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def about_method(name: str, paper: str, *, rectified: bool) -> dict[str, Any]:
    """What the page is told of a method.

    Args:
        name: as it is written.
        paper: where it comes from.
        rectified: whether evidence against is left out of its maps.
    """
    known = parse(name)
    advice = known.advice if isinstance(known, Method) else ""
    return {"name": name, "advice": advice, "paper": paper, "rectified": rectified}


def _photo(e: Explanation, image: int, side: int, name: str | None, address: str | None) -> dict[str, Any]:
    shown = _signal_facts(e, image) if e.of_signals else _photo_facts(e, image, side, address)
    top = top_of(e, image, _TOP)
    facts = {
        "name": image_name(e, image) if name is None else name,
        **label_of(e, image, top),
        **shown,
        "top": top,
        "targets": [target_of(e, image, number) for number in range(len(e.targets[image]))],
        "maps": [
            _map(key, number, one, e.status[key][image][number].words, e.of_signals)
            for key, raw in e.raw.items()
            for number, one in enumerate(to_numpy(raw)[image])
        ],
    }
    found: dict[str, Any] = finite(facts)
    return found


def _photo_facts(e: Explanation, image: int, side: int, address: str | None) -> dict[str, Any]:
    try:
        whole = e.input_image(image)
    except ImageError as gone:
        whole, address = _without_photo(e, image, side, str(gone)), None
    shown = whole.shrunk(side)
    return {
        "size": [*e.input_images.geometry(image).photo_size],
        "picture": address_of(shown.picture) if address is None else address,
        "geometry": shown.geometry.to_dict(),
        "notes": list(whole.notes),
    }


def _signal_facts(e: Explanation, image: int) -> dict[str, Any]:
    signal = e.signal(image)
    shown = pictured(signal)
    return {
        "size": [*SIZE],
        "picture": address_of(shown.picture),
        "geometry": shown.geometry,
        "axes": shown.axes,
        "notes": list(signal.notes),
    }


def _without_photo(e: Explanation, image: int, side: int, why: str) -> InputImage:
    """A plain ground in place of a photo that is gone."""
    geometry = e.input_images.geometry(image)
    assert isinstance(geometry, Geometry)
    height, width = geometry.photo_size
    factor = min(1.0, side / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    ground = Image.new("RGB", size[::-1], _GROUND)
    note = f"{GONE}, so its maps are shown without it. {why}"
    return InputImage(ground, geometry.of_smaller(size), None, (note,))


def _map(
    key: Key, number: int, one: Float[np.ndarray, "*space"], note: str, of_signals: bool
) -> dict[str, Any]:
    one = as_rows(one) if of_signals else one
    return {
        "method": key[0],
        "layer": key[1],
        "target": number,
        "shape": [*one.shape],
        "values": base64_of(one),
        "note": note,
    }


def base64_of(values: Float[np.ndarray, "*axes"]) -> str:
    """Numbers as the page reads them: float32, little endian, base64; zero where they are not finite."""
    plain = np.nan_to_num(np.asarray(values).astype("<f4"), nan=0.0, posinf=0.0, neginf=0.0)
    return base64.b64encode(plain.tobytes()).decode()


def address_of(picture: Image.Image) -> str:
    """A picture as a `data:` address."""
    stored = BytesIO()
    picture.save(stored, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stored.getvalue()).decode()}"


def colour_maps() -> list[dict[str, Any]]:
    """The colour maps of the page, perceptual ones first, each as 256 colours of three bytes."""
    return [
        {"name": name, "signed": signed, "table": base64.b64encode(lut(name).tobytes()).decode()}
        for signed, names in ((False, _COLOURS), (True, _SIGNED_COLOURS))
        for name in names
    ]
