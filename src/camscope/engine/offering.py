"""Which methods a model offers, tried on one input; and why it does not offer the others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from camscope.composition import (
    Composition,
    Copy,
    Expression,
    Named,
    Setting,
    Wrapper,
    by_fpn_level,
    modifiers_of,
    simplified,
)
from camscope.engine.call import unfit_for_tokens
from camscope.engine.copies import size_refused
from camscope.engine.layer_choice import Chosen, choose_layers
from camscope.engine.passes import check_directions, check_head
from camscope.engine.requests import uses_libragrad
from camscope.errors import CamscopeError, MethodError, TargetError
from camscope.evidence import Evidence, ModelEvidence, in_words
from camscope.methods import Method
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.targets import resolve


@dataclass(frozen=True)
class Offer:
    """A method, and whether a model offers it.

    Attributes:
        method: a method, or a composition that has a name.
        why_not: why the model does not offer it, in sentences; empty if it does.
    """

    method: Method | Named
    why_not: str = ""

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    def __bool__(self) -> bool:
        return not self.why_not

    def to_dict(self) -> dict[str, Any]:
        """What is known of the method, and whether the model offers it, as plain values for programs."""
        one = self.method
        return {
            "name": one.name,
            "paper": one.paper,
            "formula": one.formula,
            "needs": sorted(need.value for need in one.needs),
            "instead": sorted(need.value for need in one.instead),
            "cost": one.cost,
            "class_specific": one.class_specific,
            "signed": one.rectified,
            "parameters": dict(one.parameters) if isinstance(one, Method) else {},
            "advice": one.advice,
            "offered": bool(self),
            "why_not": self.why_not,
        }


@dataclass(frozen=True)
class Trial:
    """Tries what a model gives on one input.

    What methods need is gathered, and each kind of run is made once. No map is made: some take thousands of runs, which
    are like the first.

    Attributes:
        adapter: runs the model.
        batch: a batch of one.
        setting: what wrappers may need to know besides.
    """

    adapter: Adapter
    batch: Batch
    setting: Setting
    _gathered: dict[Hashable, CamscopeError | None] = field(default_factory=dict)

    def offer(self, m: Method | Named) -> Offer:
        """One method, and why the model does not offer it.

        Args:
            m: the method.
        """
        try:
            self._check(m)
        except TargetError:  # on noise a detector sees nothing that could be explained
            return Offer(m)
        except CamscopeError as error:
            return Offer(m, str(error))
        return Offer(m)

    def _check(self, m: Method | Named) -> None:
        """Refuse a method that the model does not offer.

        Raises:
            CamscopeError: of any kind, saying why.
        """
        e, offers = simplified(m), self.adapter.offers
        if lacking := e.needs_from(offers) - offers:
            raise MethodError(f"This model cannot give {in_words(lacking)}.")
        if self.batch.of_tokens and (what := unfit_for_tokens(e)):
            raise MethodError(
                f"This model reads token numbers, between which nothing lies, so it cannot give {what}."
            )
        if self.adapter.fpn_levels(self.batch):
            e = by_fpn_level(e)
        chosen, _ = choose_layers(self.adapter, self.batch, None, [e], 0)
        self._check_copies(e)
        kind = (e.method.scope, e.needs_from(offers), uses_libragrad(modifiers_of(e)))
        if kind not in self._gathered:
            self._gathered[kind] = None
            try:
                self._gather(e, chosen)
            except CamscopeError as error:
                self._gathered[kind] = error
        if (refused := self._gathered[kind]) is not None:
            raise refused

    def _check_copies(self, e: Expression) -> None:
        """Refuse a wrapper whose copies cannot be made, or are of a size that the model does not take."""
        while isinstance(e, Composition):
            if isinstance(e, Wrapper):
                copies = e.copies(self.setting)
                if e.averages == "sizes":
                    self._check_sizes(e, copies)
            e = e.inner

    def _check_sizes(self, wrapper: Wrapper, copies: Iterable[Copy]) -> None:
        """Run the first of some copies that has another size than the input."""
        sized = (self.batch.altered(copy.build(self.batch.x)) for copy in copies)
        other = next((one for one in sized if one.space != self.batch.space), self.batch)
        with size_refused(wrapper, other, self.batch), self.adapter.observe(other, {}):
            pass

    def _gather(self, e: Expression, chosen: Chosen) -> None:
        """Gather what an expression needs, and ask once for whatever is only run when it is asked for."""
        needs, libragrad = e.needs_from(self.adapter.offers), uses_libragrad(modifiers_of(e))
        self.adapter.check(self.batch, needs)
        of_layers = dict.fromkeys(chosen.of(e)[-1:], needs)
        with self.adapter.observe(self.batch, of_layers, libragrad=libragrad) as seen:
            targets = resolve(None, seen.outputs, None)
            if e.method.scope == "model":
                for _, whole in seen.model_evidence(targets, needs, self.setting.seed):
                    _run_once(whole)
                return
            for layer, _, evidence in seen.evidence(targets, of_layers, self.setting.seed):
                check_head([e.method], layer, evidence, self.adapter.offers)
                _run_suffix_once(evidence)
                if evidence.model is not None:
                    _run_once(evidence.model)
                check_directions(layer, evidence, self.adapter.offers)


def _run_once(model: ModelEvidence) -> None:
    if model.masked is not None:
        model.masked(0, 1, lambda _: model.inputs[:1])
    if model.masked_gradients is not None:
        model.masked_gradients(model.inputs, 0)


def _run_suffix_once(evidence: Evidence) -> None:
    if evidence.suffix is not None:
        evidence.suffix(0, 1, lambda _: evidence.activations[:1])
    if evidence.directions is not None:
        evidence.directions.means()
