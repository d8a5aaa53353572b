"""CLIP-like models: an image and captions as vectors of one space. With captions they are classifiers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.nn.functional import normalize

from camscope.errors import InputError
from camscope.models.batch import Batch
from camscope.models.torch.hooks.modules import Versions, versions
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.hooks.surroundings import as_given
from camscope.outputs import Embedding, Task

CAPTIONS = "captions"
"""Where a call carries its captions."""

_AT_A_TIME = 256
"""How many captions are encoded together."""

_MOST = 4096
"""How many encoded captions are kept for later calls."""


@dataclass(frozen=True)
class Captions:
    """Encoded captions, for a whole batch of images. Those with the same texts count as equal.

    Attributes:
        texts: the captions.
        vectors: of unit length.
    """

    texts: tuple[str, ...]
    vectors: Float[torch.Tensor, "caption feature"] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Matched:
    """What a CLIP-like model says of a batch.

    Attributes:
        logits: its scaled cosines.
        vectors: of the images, of unit length.
    """

    logits: Float[torch.Tensor, "batch caption"]
    vectors: Float[torch.Tensor, "batch feature"]


@dataclass(frozen=True)
class Towers:
    """The two halves of a CLIP-like model, as its library has them.

    Attributes:
        image: vectors of images.
        text: vectors of captions.
        scaled: the model's logits from cosines.
        task: `multiclass` where captions compete (CLIP), `multilabel` where each is by itself (SigLIP).
    """

    image: Callable[[Any, torch.Tensor], torch.Tensor]
    text: Callable[[Any, Sequence[str]], torch.Tensor]
    scaled: Callable[[Any, torch.Tensor], torch.Tensor]
    task: Task


class ZeroShot:
    """Reads a CLIP-like model as a classifier of captions: one encoding of the image, however many captions.

    Args:
        towers: the library's part.
    """

    def __init__(self, towers: Towers) -> None:
        self._towers = towers
        self.task = towers.task
        self._encoded: dict[str, torch.Tensor] = {}
        self._weights: Versions = ((), ())

    def call(self, model: nn.Module, batch: Batch) -> Matched:
        """The scaled cosines of every image and every caption."""
        captions: Captions = batch.kwargs[CAPTIONS]
        vectors = normalize(self._towers.image(model, batch.x), dim=-1)
        cosines = vectors @ captions.vectors.to(vectors.dtype).T
        return Matched(self._towers.scaled(model, cosines), vectors)

    def logits(self, raw: Matched) -> Float[torch.Tensor, "batch caption"]:
        """One score per caption."""
        return raw.logits

    def predictions(self, raw: Matched, batch: Batch) -> Embedding:
        """The images' vectors."""
        return Embedding(raw.vectors)

    def has_captions(self, batch: Batch) -> bool:
        """Whether the call carries encoded captions."""
        return CAPTIONS in batch.kwargs

    def with_captions(self, model: nn.Module, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with these captions, each of which is encoded once, as long as the weights stay.

        Args:
            model: an unwrapped module.
            batch: the images.
            texts: the captions.

        Raises:
            InputError: if a caption is empty.
        """
        if any(not text.strip() for text in texts):
            raise InputError("A caption is empty. Write for instance 'a photo of a cat'.")
        now = versions(model)
        if now != self._weights:  # the model has learned since
            self._encoded.clear()
            self._weights = now
        new = [text for text in texts if text not in self._encoded]
        with explaining(model), torch.no_grad():
            for start in range(0, len(new), _AT_A_TIME):
                some = new[start : start + _AT_A_TIME]
                with as_given():
                    vectors = normalize(self._towers.text(model, some), dim=-1)
                self._encoded |= dict(zip(some, vectors, strict=True))
        captions = Captions(tuple(texts), torch.stack([self._encoded[text] for text in texts]))
        if len(self._encoded) > _MOST:
            self._encoded = {text: self._encoded[text] for text in texts}
        return dataclasses.replace(batch, kwargs={**batch.kwargs, CAPTIONS: captions})
