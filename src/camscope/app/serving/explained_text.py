"""One text explained, as the page is given it: its words, and what each is for every target."""

from __future__ import annotations

from typing import Any

from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.wishes import ExplainText
from camscope.results.saving import finite
from camscope.targets import TopK

_TOP = 3


def explained_text(model: HeldModel, wish: ExplainText) -> dict[str, Any]:
    """Explain a text.

    Args:
        model: by which.
        wish: the text, and what is asked for.

    Raises:
        InputError: if the model reads no texts.
        CamscopeError: if what is asked for does not suit it.
    """
    model.refuse_all_but_texts()
    explainer = model.explainer
    e = explainer(
        wish.text,
        methods=wish.methods or None,
        layers=wish.layers or None,
        targets=wish.targets or [TopK(_TOP, or_fewer=True) if wish.top is None else TopK(wish.top)],
        seed=wish.seed,
    )
    text = e.text(0)
    plain: dict[str, Any] = finite(
        {
            "model_id": model.id,
            "text": wish.text,
            "words": [{"text": word.text, "glued": word.glued} for word in text.words],
            "layers": list(dict.fromkeys(layer for _, layer in e.raw)),
            "automatic": not wish.layers,
            "top": [
                {"index": index, "name": name, "logit": logit, "probability": probability}
                for index, name, logit, probability in e.top(wish.top or _TOP)
            ],
            "targets": [
                {
                    "title": title,
                    "index": info.index,
                    "score": float(e.scores[0, t]),
                    "probability": e.probability(0, t),
                }
                for t, (title, info) in enumerate(zip(e.titles[0], e.targets[0], strict=True))
            ],
            "maps": [
                {
                    "method": method,
                    "layer": layer,
                    "target": target,
                    "evidence": [value for _, value in e.words(0, method, layer, target=target)],
                    "note": e.status[method, layer][0][target].words,
                }
                for method, layer in e.raw
                for target in range(len(e.targets[0]))
            ],
            "notes": list(e.notes),
        }
    )
    return plain
