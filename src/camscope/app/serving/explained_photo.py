"""One photo explained, as the page is given it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from camscope.app.serving.drawn_masks import drawn, on_input
from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.held_photos import Given, HeldPhoto
from camscope.app.serving.wishes import AtBox, AtInstance, AtRegion, Explain
from camscope.app.view import View
from camscope.inputs import InputImages
from camscope.targets import Instance, Region, TargetLike, TopK

_TOP = 3


def explained_photo(model: HeldModel, held: HeldPhoto, photo: Given, wish: Explain) -> dict[str, Any]:
    """Explain a photo.

    Args:
        model: by which.
        held: what the server knows of the photo.
        photo: the photo itself.
        wish: what is asked for.

    Raises:
        CamscopeError: if that does not suit the model.
    """
    began = time.perf_counter()
    explainer = model.takes(photo)
    given = explainer.prepare(photo)
    e = explainer(
        given,
        methods=wish.methods or None,
        layers=wish.layers or None,
        targets=_targets(wish, given.input_images, instances=explainer.detects),
        seed=wish.seed,
    )
    view = View("", model.spec, wish.side)
    view.add(e, address=lambda _: f"/api/photos/{held.id}/picture?side={wish.side}")
    document = view.to_dict()
    document["photos"][0] |= {"id": held.id, "name": held.name}
    document |= {
        "engine": True,
        "model_id": model.id,
        "layers": list(dict.fromkeys(layer for _, layer in e.raw)),
        "automatic": not wish.layers,
        "seconds": round(time.perf_counter() - began, 4),
    }
    return document


def encoded(document: Any) -> bytes:
    """A document as JSON."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _targets(wish: Explain, shown: InputImages, *, instances: bool) -> Sequence[TargetLike]:
    """What is explained: what is named, or else the top classes."""
    named: list[TargetLike] = list(wish.targets)
    at = wish.at
    if isinstance(at, AtBox):
        named.append(Instance(at.box, at.which))
    elif isinstance(at, AtInstance):
        named.append(Instance(at.instance, at.which))
    elif isinstance(at, AtRegion) and at.region is None:
        named.append(Region(at.which))
    elif isinstance(at, AtRegion) and at.region is not None:
        inside, _ = on_input(drawn(at.region), shown.geometry(0))
        named.append(Region(at.which, inside))
    if named:
        return named
    if instances:
        return [Instance(number) for number in range(wish.top or 1)]
    return [TopK(_TOP, or_fewer=True) if wish.top is None else TopK(wish.top)]
