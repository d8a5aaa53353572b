"""What a model says where a part of its input is hidden, beside what it says of the input as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.app.serving.drawn_masks import drawn, on_input
from camscope.app.serving.held_models import HeldModel, NamedTarget
from camscope.app.serving.held_photos import Given
from camscope.app.serving.wishes import Scores, TextScores
from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.evidence import Responses
from camscope.imputing import Blur, Mean
from camscope.targets import AllClasses, Instance, TargetLike, TopK, class_name

_FILLS = {"blur": Blur, "mean": Mean}
_TOP = 3


def altered_scores(model: HeldModel, photo: Given, wish: Scores) -> dict[str, Any]:
    """Hide a part of a photo, or keep nothing else, and run the model on it once.

    Args:
        model: that is asked.
        photo: the photo.
        wish: what is hidden or kept, and what is asked of the model.

    Raises:
        InputError: if the mask is none.
        CamscopeError: if the targets do not suit the model.
    """
    explainer = model.takes(photo)
    given = explainer.prepare(photo)
    inside, shown = on_input(drawn(wish.mask), given.input_images.geometry(0))
    removed = inside if wish.mode == "hide" else shown & ~inside
    asked, targets = _asked(model, given, wish.photo, wish.targets)
    of_classes = not (explainer.detects or explainer.compares_captions)
    with explainer.altering(given, targets=[*targets, AllClasses()] if of_classes else targets) as seen:
        assert seen.masked is not None
        fill, x = _FILLS[wish.fill](), seen.inputs[:1]
        said = seen.masked(0, 1, lambda numbers: fill(x, np.stack([removed] * len(numbers))))
        told = _told(asked, seen.responses, said, explainer.class_names, wish.top)
    return {
        **told,
        "removed": float(removed.sum() / max(int(shown.sum()), 1)),
        "fill": wish.fill,
        "mode": wish.mode,
    }


def altered_text_scores(model: HeldModel, wish: TextScores) -> dict[str, Any]:
    """Leave words of a text out, or keep nothing else, and run the model on it once.

    Args:
        model: that is asked.
        wish: the text, which of its words, and what is asked of the model.

    Raises:
        InputError: if there is no such word, or the model reads no texts.
        CamscopeError: if the targets do not suit the model.
    """
    model.refuse_all_but_texts()
    explainer = model.explainer
    given = explainer.prepare(wish.text)
    text = given.input_images.texts[0]
    beyond = [number for number in wish.words if number >= len(text.words)]
    if beyond:
        raise InputError(f"There is no word {beyond[0]}: this text has {len(text.words)} words, from 0.")
    chosen = set(wish.words)
    gone = [word for number, word in enumerate(text.words) if (number in chosen) == (wish.mode == "hide")]
    asked, targets = _asked(model, given, wish.text, wish.targets)
    with explainer.altering(given, targets=[*targets, AllClasses()]) as seen:
        assert seen.masked is not None
        left = np.array(seen.inputs[:1])
        for word in gone:
            left[..., text.first + word.start : text.first + word.stop] = False
        said = seen.masked(0, 1, lambda numbers: np.repeat(left, len(numbers), axis=0))
        told = _told(asked, seen.responses, said, explainer.class_names, wish.top)
        stand_in = seen.stand_in
    return {**told, "removed": len(gone) / max(len(text.words), 1), "fill": stand_in, "mode": wish.mode}


def _asked(
    model: HeldModel, given: Any, input: str, words: Sequence[str]
) -> tuple[list[NamedTarget], list[TargetLike]]:
    """What the targets are called in this input, and the targets: those that are named, or the top ones."""
    targets: list[TargetLike] = list(words)
    if not targets:
        targets = [Instance(0) if model.explainer.detects else TopK(_TOP, or_fewer=True)]
    return model.asked(input, given, tuple(words), targets), targets


def _told(
    asked: Sequence[NamedTarget],
    as_it_is: Responses,
    altered: Responses,
    names: Sequence[str] | None,
    top: int,
) -> dict[str, Any]:
    """The targets that were asked for, and the classes that are likely with the change or without it."""
    before, after = _numbers(as_it_is), _numbers(altered)
    every = [numbers[:, len(asked) :] for numbers in (before, after)]
    likely = dict.fromkeys(int(one) for numbers in every for one in _best(numbers, top))
    return {
        "targets": [
            {
                "title": title,
                "index": index,
                "before": _pair(before[:, t], probable),
                "after": _pair(after[:, t], probable),
            }
            for t, (title, index, probable) in enumerate(asked)
        ],
        "classes": [
            {
                "index": one,
                "name": class_name(one, names),
                "before": _pair(every[0][:, one]),
                "after": _pair(every[1][:, one]),
            }
            for one in likely
        ],
    }


def _numbers(responses: Responses) -> Float[np.ndarray, "2 target"]:
    """Scores and probabilities of the first variant."""
    both = (responses.scores, responses.probabilities)
    return np.stack([np.asarray(to_numpy(one), np.float64)[0] for one in both])


def _pair(numbers: Float[np.ndarray, " 2"], probable: bool = True) -> dict[str, float | None]:
    return {"score": float(numbers[0]), "probability": float(numbers[1]) if probable else None}


def _best(numbers: Float[np.ndarray, "2 class"], count: int) -> np.ndarray:
    return np.argsort(-numbers[0], kind="stable")[:count]
