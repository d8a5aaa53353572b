"""What `Explainer.layers` and `Explainer.methods` give: lists that show themselves as tables."""

from __future__ import annotations

from typing import Any

from camscope.engine.offering import Offer
from camscope.models.layer import Layer
from camscope.render import Tabular, TextTable


class LayerTable(Tabular, tuple[list[Layer], Layer | None]):
    """The layers with a grid and the automatic choice: `layers, chosen = explainer.layers()`.

    Args:
        layers: in the order they run.
        chosen: the automatic choice; None if no layer reaches the score.
    """

    def __new__(cls, layers: list[Layer], chosen: Layer | None) -> LayerTable:
        """The pair of both."""
        return super().__new__(cls, (layers, chosen))

    @property
    def names(self) -> list[str]:
        """The names, as `layers=` takes them."""
        return [layer.name for layer in self[0]]

    def to_dict(self) -> dict[str, Any]:
        """The `layers` and the name of the `automatic` choice, as plain values for programs."""
        layers, chosen = self
        automatic = None if chosen is None else chosen.name
        return {
            "layers": [{**layer.to_dict(), "automatic": layer.name == automatic} for layer in layers],
            "automatic": automatic,
        }

    def table(self) -> TextTable:
        """A row for each layer; the automatic choice stands out."""
        layers, chosen = self
        automatic = [i for i, layer in enumerate(layers) if chosen is not None and layer.name == chosen.name]
        rows = [
            (
                "→" if i in automatic else "",
                layer.name,
                layer.kind,
                "×".join(map(str, layer.of_one)),
                layer.grid.describe(),
                "yes" if layer.reaches else "no",
            )
            for i, layer in enumerate(layers)
        ]
        caption = "→ is chosen when no layer is named." if automatic else "None of them reaches the score."
        return TextTable(
            ["", "layer", "kind", "output", "grid", "reaches score"], rows, frozenset(automatic), caption
        )


class OfferTable(Tabular, list[Offer]):
    """The methods of a model, and why it does not offer the others."""

    @property
    def names(self) -> list[str]:
        """The names of those it offers, as `methods=` takes them."""
        return [offer.name for offer in self if offer]

    def table(self) -> TextTable:
        """A row for each method that is offered, then one for each that is not."""
        offered = [(offer.name, "yes", offer.method.advice) for offer in self if offer]
        refused = [(offer.name, "no", offer.why_not) for offer in self if not offer]
        return TextTable(["method", "offered", "what for, or why not"], [*offered, *refused])
