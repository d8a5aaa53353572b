"""One text explained, as the page is given it."""

from __future__ import annotations

from typing import Any

from camscope.app.serving.held_models import HeldModel
from camscope.app.serving.wishes import ExplainText
from camscope.app.text_facts import text_facts
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
    e = model.explainer(
        wish.text,
        methods=wish.methods or None,
        layers=wish.layers or None,
        targets=wish.targets or [TopK(_TOP, or_fewer=True) if wish.top is None else TopK(wish.top)],
        seed=wish.seed,
    )
    return {
        "model_id": model.id,
        **text_facts(e, 0, top=wish.top or _TOP, written=wish.text),
        "layers": list(dict.fromkeys(layer for _, layer in e.raw)),
        "automatic": not wish.layers,
        "notes": list(e.notes),
    }
