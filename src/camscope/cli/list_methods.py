"""`camscope methods`: what there is, or what a model offers; where it comes from, its cost, and what it is good for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from camscope.cli.model_options import DEMO, ModelOptions, check_no_size_of_texts, check_size
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.composition import COMPOSITIONS, Composition, Named, list_methods
from camscope.engine.offering import Offer
from camscope.errors import without_warnings
from camscope.evidence import in_words
from camscope.methods import Method


def methods(
    *,
    model: ModelOptions = DEMO,
    size: int | None = None,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """List the methods, or those that a model offers: paper, needs, cost and one honest line of advice.

    Parameters
    ----------
    model
        A model, as `camscope explain` takes it: then only the methods that it offers are listed, and why not the
        others. What they need is tried on a picture of noise, or on some text. See
        `camscope.cli.model_options.ModelOptions`.
    size
        Side of the square input in pixels, if it is not the model's own.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    named = model is not DEMO  # `--model demo` is another object: then that model is asked
    offers = _tried(model, size, as_json) if named else _all()
    if as_json:
        print_json([_facts(offer, asked=named) for offer in offers])
        return
    found = [offer.method for offer in offers if offer]
    people = console()
    for m in found:
        _show(people, m)
    _show_refused(people, [offer for offer in offers if not offer])
    people.print("[bold]Around any of them[/]")
    for word, kind in COMPOSITIONS.items():
        people.print(Padding(f"[bold]{word}[/]({escape(_call(kind))})", (0, 0, 0, 2)))
        people.print(Padding(escape(_first_line(kind)), (0, 0, 0, 4)))
    people.print()
    people.print("For instance smooth(layercam, n=16), fuse(finer(gradcam), max), balanced(hirescam).")
    people.print(
        "Behind global average pooling and one linear layer some are the same map up to a constant: "
        f"{_same_maps(found)}. That is mathematics, not a bug."
    )
    people.print("The last ReLU of a formula is applied in heatmaps; raw maps stay signed.")


def _all() -> list[Offer]:
    """Every method there is."""
    return [Offer(m) for m in list_methods()]


def _tried(options: ModelOptions, size: int | None, as_json: bool) -> list[Offer]:
    """Every method, tried on a model."""
    check_size(size)
    with quiet_stdout(as_json), without_warnings():
        explainer = options.open()
        check_no_size_of_texts(size, explainer)
        return explainer.methods(size=None if size is None else (size, size))


def _facts(offer: Offer, *, asked: bool) -> dict[str, Any]:
    """What is known of a method, for a program; whether it is offered only where a model was asked."""
    tried = ("offered", "why_not")
    return {name: fact for name, fact in offer.to_dict().items() if asked or name not in tried}


def _show_refused(people: Console, refused: Sequence[Offer]) -> None:
    """What a model does not offer, by reason."""
    if not refused:
        return
    people.print("[bold]Not of this model[/]")
    for why in dict.fromkeys(offer.why_not for offer in refused):
        names = ", ".join(offer.name for offer in refused if offer.why_not == why)
        people.print(Padding(escape(names), (0, 0, 0, 2)))
        people.print(Padding(f"[dim]{escape(why)}[/]", (0, 0, 0, 4)))
    people.print()


def _same_maps(found: Iterable[Method | Named]) -> str:
    """The methods that are the same behind a linear head, each with the condition that it has."""
    groups: dict[str, list[str]] = {}
    for m in found:
        if isinstance(m, Method) and (facts := m.behind_linear_head):
            conditions = [
                *(["of logits"] if facts.of_logits else []),
                *(["where activations are ≥ 0"] if facts.of_nonnegative else []),
            ]
            condition = f" ({', '.join(conditions)})" if conditions else ""
            groups.setdefault(facts.as_method, []).append(m.name + condition)
    return "; ".join(", ".join(names) for names in groups.values() if len(names) > 1)


def _show(people: Console, m: Method | Named) -> None:
    needs = in_words(m.needs, m.instead)
    kind = (
        f"{'by class' if m.class_specific else 'knows no class'}, {'signed' if m.rectified else 'not signed'}"
    )
    people.print(f"[bold]{m.name}[/]   {escape(m.formula)}")
    people.print(Padding(escape(m.advice), (0, 0, 0, 4)))
    if isinstance(m, Method) and m.parameters:
        given = ", ".join(f"{name}={value}" for name, value in m.parameters.items())
        people.print(Padding(escape(f"Parameters: {given}."), (0, 0, 0, 4)))
    people.print(
        Padding(
            f"[dim]{escape(m.paper or 'baseline')}. Needs {needs}: {escape(m.cost)}. {kind.capitalize()}.[/]",
            (0, 0, 1, 4),
        )
    )


def _call(kind: type[Composition]) -> str:
    parameters = [f"{name}={value}" for name, value in kind.parameters().items()]
    return ", ".join(["METHOD", *parameters])


def _first_line(kind: type[Composition]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
