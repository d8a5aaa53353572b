"""A choice that was saved: what it recommends, and for which model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import InputError, either
from camscope.trust.chosen import KIND

_TELLING = ("weights_sha256", "model_name", "model")
"""What tells models apart, the most telling first."""


@dataclass(frozen=True)
class SavedChoice:
    """What a file recommends.

    Attributes:
        path: of the file.
        method: the method.
        layers: its layers; None for the automatic choice.
        model: what tells the model from others.
    """

    path: Path
    method: str
    layers: tuple[str, ...] | None
    model: Mapping[str, Any]

    def check_model(self, facts: Mapping[str, Any]) -> None:
        """Refuse another model than the choice was made for.

        Args:
            facts: of the model; see `camscope.Explainer.about`.

        Raises:
            InputError: naming both.
        """
        other = [key for key in _TELLING if None not in (self.model.get(key), facts.get(key))]
        if not other or self.model[other[0]] == facts[other[0]]:
            return
        at = "" if self.layers is None else f" at {', '.join(self.layers)}"
        raise InputError(
            f"{str(self.path)!r} is a choice for {_words(self.model)}, and this is {_words(facts)}: what serves one "
            f"model need not serve another. Choose for this one, {_how()}; or name the method yourself: "
            f"{self.method}{at}."
        )


def read_choice(path: str | Path) -> SavedChoice:
    """Read what a choice recommends.

    Args:
        path: of a file that `Choice.save` wrote.

    Raises:
        InputError: if there is no such file, or it holds no choice.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {str(path)!r}. {_writer()} writes one.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{str(path)!r} cannot be read as a choice, which is a JSON file: {error}."
        ) from error
    layers = found.get("layers") if isinstance(found, dict) else None
    right = (
        isinstance(found, dict)
        and found.get("kind") == KIND
        and isinstance(found.get("method"), str)
        and isinstance(found.get("model"), dict)
        and (layers is None or (isinstance(layers, list) and all(isinstance(one, str) for one in layers)))
    )
    if not right:
        raise InputError(f"{str(path)!r} holds no choice: expected what {_writer()} wrote.")
    return SavedChoice(path, found["method"], None if layers is None else tuple(layers), found["model"])


def _how() -> str:
    return either("explainer.choose(photos)", "camscope choose FOLDER")


def _writer() -> str:
    return either("choice.save(path)", "camscope choose FOLDER")


def _words(model: Mapping[str, Any]) -> str:
    """A model in words: its name, and the beginning of the digest of its weights."""
    name = model.get("model_name") or model.get("model") or "another model"
    digest = model.get("weights_sha256")
    return f"{name} with the weights {digest[:12]}…" if isinstance(digest, str) else str(name)
