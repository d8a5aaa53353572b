"""The site's pages of methods: what the methods say of themselves, their pictures, and what was measured of their maps.

    python -m benchmarks.methods_page         # puts it between the marks of docs/methods/*.md

Pictures: `python -m benchmarks.gallery`. Numbers: the files in `benchmarks/kept`, and the leaderboard's rows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import camscope
from benchmarks.gallery import LINES, MODELS, PER_CHANNEL, PHOTOS, described, kept, strip_file
from benchmarks.kept_numbers import Numbers
from benchmarks.page_parts import put
from benchmarks.real_models import REAL_MODELS
from benchmarks.trust.kept_rows import read
from camscope.composition import Named
from camscope.evidence import ATTENDED, Need, in_words
from camscope.methods import Method
from camscope.trust import Verdict

PAGES = Path(__file__).parents[1] / "docs" / "methods"
NAME = "methods: made by python -m benchmarks.methods_page"

FAMILIES = {
    "gradients": "Weights from gradients",
    "reruns": "Weights from a head or from re-runs",
    "altered_inputs": "Weights from altered inputs",
    "attention": "Attention",
    "input_gradients": "Gradients of the input",
    "compositions": "Methods around methods",
    "activations": "Activations alone",
}
"""The pages, by file name."""


def family(m: Method | Named) -> str:
    """The page on which a method stands."""
    if isinstance(m, Named):
        return "compositions"
    if m.needs & ATTENDED:
        return "attention"
    if m.needs & {Need.INPUT_GRADIENTS, Need.GUIDED_GRADIENTS}:
        return "input_gradients"
    if m.needs & {Need.MASKED, Need.MASKED_GRADIENTS}:
        return "altered_inputs"
    if m.needs & {Need.GRADIENTS, Need.CURVATURE}:
        return "gradients"
    if m.needs & {Need.LINEAR_HEAD, Need.SUFFIX}:
        return "reruns"
    return "activations"


def members(page: str) -> list[Method | Named]:
    """The methods of a page, in the order in which `camscope methods` lists them."""
    return [m for m in camscope.list_methods() if family(m) == page]


# ---------------------------------------------------------------------- what was measured


@functools.cache
def trusted(model: str) -> Mapping[str, tuple[float, int, int]]:
    """Of each method: the mean fidelity of its maps, and on how many photos of how many they beat all baselines."""
    rows = [row for row in read() if (row.model, row.test) == (model, "verdict")]
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row.values):
        own = [row.values[name] for row in rows if name in row.values]
        fidelity = [v["fidelity"] for v in own if isinstance(v["fidelity"], float)]
        judged = [v["verdict"] for v in own if v["verdict"] != Verdict.UNJUDGED.name]
        found[name] = float(np.mean(fidelity)), judged.count(Verdict.BEATS.name), len(judged)
    return found


def measured(methods: list[Method | Named]) -> Iterator[str]:
    """The table of localisation and trust; a blank cell was not measured."""
    mosaics, demo, dinov2 = Numbers().localisation, trusted("demo"), trusted("dinov2")
    yield "| method | on the right photo | fidelity, EfficientNet-Lite0 | beats all baselines | fidelity, DINOv2 |"
    yield "|---|---:|---:|---:|---:|"
    for m in methods:
        share = f"{mosaics[m.name]['mean']:.2f}" if m.name in mosaics else ""
        fidelity, beats, judged = demo.get(m.name, (None, 0, 0))
        other = dinov2.get(m.name, (None,))[0]
        yield (
            f"| `{m.name}`{'' if m.class_specific else ' (knows no class)'} | {share} | {_number(fidelity)} | "
            f"{f'{beats} of {judged}' if judged else ''} | {_number(other)} |"
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".replace("-", "−")


LEGEND = (
    "*On the right photo*: share of the positive map in 2×2 mosaics, chance 0.25 ([how](../facts/localisation.md)). "
    "*Fidelity*: does the score fall where the map is high? 1 is perfect order, 0 none; *beats all baselines*: single "
    "photos on which that is provably better than chance, the centre and the mean activation "
    "([how](../leaderboard.md)). An empty cell was not measured."
)


# ---------------------------------------------------------------------- the parts


def page(name: str) -> str:
    """What is made of a family's page."""
    parts = ["\n".join(measured(members(name))), LEGEND, *(entry(m) for m in members(name))]
    return "\n\n".join(parts)


def entry(m: Method | Named) -> str:
    """One method."""
    rows = [
        ("Paper", m.paper or "none: a baseline"),
        ("Needs", in_words(m.needs, m.instead)),
        ("Costs", m.cost),
        ("Equals", equal_to(m)),
        ("Evidence against", "kept in the raw map" if m.rectified else "none"),
    ]
    facts = "\n".join(f":{name}: {value}" for name, value in rows if value)
    strips = "\n\n".join(shown(model, m.name) for model in MODELS)
    return f"### `{m.name}`\n\n{m.advice}\n\n```text\n{m.formula}\n```\n\n{facts}\n\n{strips}"


def equal_to(m: Method | Named) -> str:
    """Of which other method the map is, up to a positive constant, behind global average pooling and a linear head."""
    same = getattr(m, "behind_linear_head", None)
    if same is None or same.as_method == m.name:
        return ""
    of = [
        *(["of a logit"] if same.of_logits else []),
        *(["where the activations are not negative"] if same.of_nonnegative else []),
    ]
    return f"`{same.as_method}` behind global average pooling and one linear layer{', ' if of else ''}{', '.join(of)}"


def shown(model: str, method: str, folder: str = "pictures") -> str:
    """A strip with whose it is, or why there is none."""
    row, what = kept().get(model), REAL_MODELS[model].what
    if row and method in row.refused:
        return f"*{what}*: not offered. {_first_sentence(row.refused[method])}"
    if row is None or method not in row.ran:
        why = "a forward for each channel takes minutes a photo" if method in PER_CHANNEL else "not made yet"
        return f"*{what}*: {why}; `python -m benchmarks.gallery --methods {method}` draws it."
    how = "" if row.ran[method] == method else f", as `{row.ran[method]}`"
    how += f", {LINES[method]}" if method in row.lines else ""
    return f"*{what}*{how}\n![{described(model, method)}]({folder}/{strip_file(model, method)})"


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].partition("\n")[0].rstrip(".").replace("<", "&lt;") + "."


def hub() -> str:
    """The table of all families."""
    parts = []
    for name, title in FAMILIES.items():
        parts += [
            f"## [{title}]({name}.md)",
            "| method | what it is for, and what it gets wrong |\n|---|---|",
        ]
        parts[-1] += "".join(f"\n| `{m.name}` | {m.advice} |" for m in members(name))
    return "\n\n".join(parts)


def gallery() -> str:
    """All strips, by model."""
    parts = [
        f"All maps are of the class that the model finds likeliest. Photos: {', '.join(PHOTOS.values())}; out of "
        "scikit-image and foolbox. Where a method takes hundreds of forwards a cheaper form of it ran, and is named."
    ]
    for model in MODELS:
        row = kept().get(model)
        said = ", ".join(f"{name} {share:.0%}" for name, share in row.said) if row else ""
        parts += [
            f"## {REAL_MODELS[model].what}",
            f"It says: {said}. Maps of single layers are at `{row.layer if row else ''}`.",
            f"![The photos: {', '.join(PHOTOS.values())}](pictures/photos.webp)",
        ]
        for name in FAMILIES:
            for m in members(name):
                parts.append(f"`{m.name}`{_strip_alone(model, m.name)}")
    return "\n\n".join(parts)


def _strip_alone(model: str, method: str) -> str:
    """The same without the model's name, under which it stands; the strip is on a line of its own."""
    said, mark, strip = shown(model, method).removeprefix(f"*{REAL_MODELS[model].what}*").partition("\n")
    said = said.lstrip(":, ")
    return (f" {said}" if said else "") + ("\\\n" if mark else "") + strip


def parts() -> Mapping[str, str]:
    """What is made, by page."""
    return {"index": hub(), "gallery": gallery(), **{name: page(name) for name in FAMILIES}}


def main() -> None:
    """Put everything into its page."""
    for name, text in parts().items():
        put(PAGES / f"{name}.md", NAME, text)


if __name__ == "__main__":
    main()
