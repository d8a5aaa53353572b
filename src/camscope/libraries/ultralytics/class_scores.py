"""Classifiers with ultralytics' structure: what they put out are probabilities, with the logits beside them."""

from __future__ import annotations

from typing import Any

import torch

from camscope.models.decoding import LogitsDecoder


class ClassScores(LogitsDecoder):
    """The output decoder of a classifier that returns probabilities, or these and the logits that they come from."""

    def _selected(self, raw: Any) -> Any:
        if isinstance(raw, (tuple, list)) and len(raw) == 2 and all(isinstance(x, torch.Tensor) for x in raw):
            found, logits = raw
            if found.shape == logits.shape and torch.allclose(logits.softmax(1), found, atol=1e-3):
                return logits
        return super()._selected(raw)
