"""What an exported file says of itself, by key, for whoever reads it without camscope, and for camscope."""

from __future__ import annotations

import json

from camscope.engine.model import Model
from camscope.results import Explanation


def facts_of(model: Model, e: Explanation) -> dict[str, str]:
    """The facts, each a string; what is not known has no key.

    - `camscope.version`, `camscope.model`, `camscope.weights_sha256`: of what the file was made.
    - `camscope.method`, `camscope.layer`, `camscope.grid`: of what its maps are; the grid as `[7, 7]`.
    - `camscope.task`: what the logits mean: `multiclass` (softmax), `multilabel` (a sigmoid each, also of the two of a
      one-logit head, of which one is the negative of the other) or `regression`.
    - `camscope.class_names`: a list in JSON.
    - `camscope.preprocessing`: the fields of `camscope.Preprocessing` in JSON.

    Args:
        model: the model.
        e: an explanation of it by the method at the layer.
    """
    ((method, layer),) = e.raw
    facts = {
        "camscope.version": str(e.provenance["camscope"]),
        "camscope.model": str(e.provenance["model_name"] or e.provenance["model"]),
        "camscope.weights_sha256": str(e.provenance["weights_sha256"]),
        "camscope.method": method,
        "camscope.layer": layer,
        "camscope.grid": json.dumps([int(n) for n in e.raw[method, layer].shape[2:]]),
        "camscope.task": "multilabel" if e.provenance["task"] == "binary" else str(e.provenance["task"]),
    }
    if e.class_names is not None:
        facts["camscope.class_names"] = json.dumps(list(e.class_names), ensure_ascii=False)
    if model.preprocessing is not None:
        facts["camscope.preprocessing"] = json.dumps(model.preprocessing.to_dict())
    return facts
