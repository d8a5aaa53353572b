"""Hugging Face detectors of what texts name: OWL-ViT, OWLv2, Grounding DINO, OmDet-Turbo. The texts are the classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from camscope.arrays import Array
from camscope.errors import InputError, ModelError
from camscope.libraries.huggingface.queries import Queries
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.outputs import Task

BY_TEXT = ("owlvit", "owlv2")
"""Model types with a logit for each text."""

BY_TOKEN = ("grounding-dino", "mm-grounding-dino")
"""Model types with a logit for each token of one text, in which what is looked for stands between full stops."""

BY_NAME = ("omdet-turbo",)
"""Model types with a logit for each name of a class, which also read a task that names them all."""

WORDED = (*BY_TEXT, *BY_TOKEN, *BY_NAME)
"""All of these."""

_TOKENS = "tokens of captions"
"""Where a call carries the tokens of its captions."""

_SAME_TEXT = "The images of a call are asked for the same text; explain others in calls of their own."

_STOPS = (101, 102, 1012, 1029)
"""The numbers of `[CLS]`, `[SEP]`, `.` and `?` in BERT's vocabulary, between which Grounding DINO's phrases stand."""


def worded_decoder_of(model: Any, saved: Any, tokenizer: Any) -> Worded:
    """The output decoder of a detector of what texts name.

    Args:
        model: of a type in `WORDED`.
        saved: the tokenizer that came with the model; None if none did.
        tokenizer: the user's tokenizer, or a processor that has one; None takes the saved one.
    """
    own = getattr(tokenizer, "tokenizer", tokenizer) or saved
    kinds = {**dict.fromkeys(BY_TEXT, ByText), **dict.fromkeys(BY_NAME, ByName)}
    return kinds.get(model.config.model_type, ByToken)(model, own)


class Worded(Queries):
    """What such detectors have in common: all images of a call are asked for the same texts.

    Args:
        model: the detector.
        tokenizer: for captions; None where a call brings the numbers of its tokens.
    """

    task: Task = "multilabel"
    arguments: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids")
    """Under what names the model takes its texts; the first must be there."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model)
        self._tokenizer = tokenizer

    def has_captions(self, batch: Batch) -> bool:
        """Whether the call brings its texts: as captions, or as token numbers by keyword."""
        return _TOKENS in batch.kwargs or self.arguments[0] in batch.kwargs

    def with_captions(self, model: Any, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with these texts, each of which is a class.

        Raises:
            InputError: if a text is empty.
            ModelError: if there is no tokenizer.
        """
        if any(not text.strip() for text in texts):
            raise InputError("A caption is empty. Write what to look for, for instance 'a cat'.")
        if self._tokenizer is None:
            raise ModelError(
                f"A {type(model).__name__} finds what texts name, and no tokenizer came with it. Pass Explainer(model, "
                "tokenizer=AutoTokenizer.from_pretrained(…)) or its processor; or give what the processor makes of "
                "photos and texts, dict(processor(text=[['a cat']], images=photo, return_tensors='pt'))."
            )
        tokens = Tokens(tuple(texts), self._encoded(texts))
        return dataclasses.replace(batch, kwargs={**batch.kwargs, _TOKENS: tokens})

    def _encoded(self, texts: Sequence[str]) -> dict[str, Array]:
        """The model's arguments for these texts."""
        raise NotImplementedError

    def _call(self, model: Any, batch: Batch) -> tuple[Any, dict[str, Array]]:
        """Run the model; what it returned, and the arguments for the texts as the call brings them."""
        given = dict(batch.kwargs)
        tokens: dict[str, Array] = given.pop(_TOKENS).arrays if _TOKENS in given else {}
        tokens = tokens or {name: given.pop(name) for name in self.arguments if name in given}
        if not tokens:
            raise InputError(
                f"This model finds what texts name: give pixel_values and {self.arguments[0]} in a dictionary, as its "
                "processor makes them, or captions."
            )
        device = batch.x.device
        spread = {
            name: self._for_images(one.to(device), len(batch)) for name, one in self._of_one(tokens).items()
        }
        images = {} if batch.explained_input in batch.kwargs else {"pixel_values": batch.given}
        call = dataclasses.replace(
            batch, args=(), kwargs={**given, **images, **spread}, explained_input="pixel_values"
        )
        return LogitsDecoder().call(model, call), tokens

    def _of_one(self, tokens: dict[str, Array]) -> dict[str, Array]:
        """Of arguments for all images those of one."""
        raise NotImplementedError

    def _for_images(self, tokens: Array, images: int) -> Array:
        """One image's rows for so many."""
        return tokens.repeat(images, *(1,) * (tokens.ndim - 1))


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The tokens of a call's captions, which belong to all of its images. Those of the same texts count as equal.

    Attributes:
        texts: the captions.
        arrays: the model's arguments for them.
    """

    texts: tuple[str, ...]
    arrays: dict[str, Array] = dataclasses.field(compare=False, repr=False)


class ByText(Worded):
    """OWL-ViT and OWLv2: each position of the image is a candidate, and has a logit for each text."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self._fixed = True
        self._within = f"{model.base_model_prefix}.vision_model"

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model on the call's images, each with all texts."""
        return self._call(model, batch)[0]

    def _encoded(self, texts: Sequence[str]) -> dict[str, Array]:
        found = self._tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "attention_mask") if name in found}

    def _of_one(self, tokens: dict[str, Array]) -> dict[str, Array]:
        """Each text once: processors repeat them for each image."""
        ids = tokens["input_ids"].cpu().numpy()
        _, first = np.unique(ids, axis=0, return_index=True)
        return {name: one[np.sort(first)] for name, one in tokens.items()}


class ByToken(Worded):
    """Grounding DINO: each query has a logit for each token; a phrase's is that of its most likely token."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self._fixed = False
        self._within = "model.backbone"

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model, and give each query a logit for each phrase in place of each token.

        Raises:
            InputError: if the images of the call come with different texts.
        """
        raw, tokens = self._call(model, batch)
        ids = tokens["input_ids"]
        if bool((ids != ids[:1]).any()):
            raise InputError(_SAME_TEXT)
        mask = tokens.get("attention_mask")
        spans = _phrases(ids[0].tolist(), None if mask is None else mask[0].tolist())
        columns = [raw.logits[..., start:end].amax(-1) for start, end in spans]
        raw.logits = _stacked(columns)
        return raw

    def _encoded(self, texts: Sequence[str]) -> dict[str, Array]:
        sentence = " . ".join(text.strip().strip(".") for text in texts) + " ."
        found = self._tokenizer(sentence, return_tensors="pt")
        return {
            name: found[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in found
        }

    def _of_one(self, tokens: dict[str, Array]) -> dict[str, Array]:
        return {name: one[:1] for name, one in tokens.items()}


class ByName(Worded):
    """OmDet-Turbo: each query has a logit for each name of a class; a task, "Detect a cat, a dog.", names them all."""

    arguments = (
        "classes_input_ids",
        "classes_attention_mask",
        "tasks_input_ids",
        "tasks_attention_mask",
        "classes_structure",
    )

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self._fixed = False
        self._within = "encoder"

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model on the call's images, each with all names."""
        return self._call(model, batch)[0]

    def _found(self, raw: Any) -> tuple[Array, Array]:
        return raw.decoder_class_logits, raw.decoder_coord_logits

    def _encoded(self, texts: Sequence[str]) -> dict[str, Array]:
        names = [text.strip() for text in texts]
        parts = {"classes": names, "tasks": [f"Detect {', '.join(names)}."]}
        found: dict[str, Array] = {}
        for part, words in parts.items():
            encoded = self._tokenizer(words, padding="max_length", truncation=True, return_tensors="pt")
            found |= {f"{part}_{name}": encoded[name] for name in ("input_ids", "attention_mask")}
        return {**found, "classes_structure": found["classes_input_ids"].new_tensor([len(names)])}

    def _of_one(self, tokens: dict[str, Array]) -> dict[str, Array]:
        """The names of one image.

        Raises:
            InputError: if the images of the call come with different names.
        """
        names = int(tokens["classes_structure"][0])
        rows = {name: names if name.startswith("classes_") else 1 for name in tokens} | {
            "classes_structure": 1
        }
        one = {name: value[: rows[name]] for name, value in tokens.items()}
        for name, value in tokens.items():
            # the names of all images may be there where one is asked for
            images, left = divmod(len(value), rows[name])
            if left or bool((value != self._for_images(one[name], images)).any()):
                raise InputError(_SAME_TEXT)
        return one


def _stacked(columns: Sequence[Array]) -> Array:
    import torch

    return torch.stack(list(columns), dim=-1)


def _phrases(ids: Sequence[int], mask: Sequence[int] | None) -> list[tuple[int, int]]:
    """The first and last (exclusive) token of each phrase: those between full stops and the like."""
    kept = [number not in _STOPS and (mask is None or bool(mask[place])) for place, number in enumerate(ids)]
    edges = np.flatnonzero(np.diff([0, *map(int, kept), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
