"""What a notebook shows of an explanation by itself."""

from __future__ import annotations

from camscope import render
from camscope.results.figures import photos, signals, texts
from camscope.results.figures.labels import model_of
from camscope.results.maps import Maps


def html(e: Maps) -> str:
    """The first image, text or signal, and a table of what was explained."""
    rows = [
        ("model", f"{model_of(e)}, untrained" if e.untrained else model_of(e)),
        ("methods", ", ".join(e.methods)),
        ("layers", ", ".join(e.layers)),
        (f"{e.noun}s", str(len(e))),
        *(("note", note) for note in e.notes),
    ]
    if e.of_texts:
        return texts.html(e) + render.html_summary(None, rows)
    if e.input_images.has_signal(0):
        return render.html_summary(render.png(signals.first_figure(e), dpi=90), rows)
    if not e.input_images.has(0):
        return render.html_summary(None, rows)
    return render.html_summary(render.png(photos.first_figure(e), dpi=90), rows)
