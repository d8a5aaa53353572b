"""The site's page of all methods, made of what the methods say of themselves.

python -m benchmarks.methods_page                        # prints it
python -m benchmarks.methods_page docs/facts/methods.md  # puts it between the page's marks
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import camscope
from camscope.composition import Named
from camscope.evidence import Need, in_words
from camscope.methods import Method

BEGIN, END = "<!-- methods: made by benchmarks/methods_page.py -->", "<!-- end of methods -->"

_ATTENTION = {Need.ATTENTION, Need.ATTENTION_GRADIENTS, Need.BLOCK_GRADIENTS}
_FAMILIES = {
    "Weights from gradients": "Each channel, or each position, is weighed by how the score would change with it.",
    "Weights from a head or from re-runs": (
        "No gradients: the head's own weights, or re-runs of the part behind the layer on altered activations."
    ),
    "Weights from altered inputs": "The whole model is run on masked copies of the input.",
    "Attention": "Of transformers: what reads what.",
    "The whole model": "A map of all layers together, or of none.",
    "Methods around methods": (
        "Averages over copies of the input, fusions of layers, other targets. Each is a name for the expression below "
        "it, and any method can stand inside."
    ),
    "What knows no class": "Where features are, whatever the class: never evidence for one. Baselines too.",
}


def family(m: Method | Named) -> str:
    """The heading under which a method stands."""
    if not m.class_specific:
        return "What knows no class"
    if isinstance(m, Named):
        return "Methods around methods"
    if m.needs & _ATTENTION:
        return "Attention"
    if m.scope == "model":
        return "The whole model"
    if m.needs & {Need.GRADIENTS, Need.CURVATURE}:
        return "Weights from gradients" if Need.MASKED not in m.needs else "Weights from altered inputs"
    if m.needs & {Need.LINEAR_HEAD, Need.SUFFIX}:
        return "Weights from a head or from re-runs"
    return "Weights from altered inputs"


def entries() -> Iterator[str]:
    """The families, each with its methods in the order in which `camscope methods` lists them."""
    methods = camscope.list_methods()
    for name, about in _FAMILIES.items():
        yield f"## {name}\n\n{about}"
        for m in methods:
            if family(m) == name:
                yield entry(m)


def entry(m: Method | Named) -> str:
    """One method."""
    rows = [
        ("Paper", m.paper or "none: a baseline"),
        ("Needs", in_words(m.needs, m.instead)),
        ("Costs", m.cost),
        ("Evidence against", "kept in the raw map" if m.rectified else "none"),
    ]
    facts = "\n".join(f":{name}: {value}" for name, value in rows)
    return f"### `{m.name}`\n\n{m.advice}\n\n```text\n{m.formula}\n```\n\n{facts}"


def marked() -> str:
    """The page between its marks."""
    return "\n\n".join([BEGIN, *entries(), END])


def main() -> None:
    """Print the page, or put it into a file between its marks."""
    if len(sys.argv) < 2:
        sys.stdout.write(marked() + "\n")
        return
    path = Path(sys.argv[1])
    text = path.read_text("utf-8")
    start, end = text.index(BEGIN), text.index(END) + len(END)
    path.write_text(text[:start] + marked() + text[end:], "utf-8")


if __name__ == "__main__":
    main()
