"""One head of a network as a user has it, and the questions that camscope is asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

import camscope
from benchmarks.fuzz.findings import NEEDLESS, RAW, REFUSED, WRONG, Finding, short
from benchmarks.fuzz.heads import readings
from benchmarks.fuzz.networks import Network


class Subject:
    """One head of a network.

    Args:
        net: the network.
        number: of the head.
        findings: takes what is found.
    """

    def __init__(self, net: Network, number: int, findings: list[Finding]) -> None:
        self.net, self.recipe, self.number, self._findings = net, net.recipe, number, findings
        self.head = self.recipe.heads[number]
        self.readings = readings(self.head, self.recipe.task)
        self._output = {"tensor": None, "tuple": number, "dict": self.head.name}[self.recipe.returns]
        self._explainer = self.new_explainer()

    def new_explainer(self) -> camscope.Explainer:
        """An Explainer that knows nothing yet."""
        return camscope.Explainer(self.net, task=self.recipe.task, output=self._output)

    def pick(self, raw: Any) -> torch.Tensor:
        """The head's outputs in what the model returns."""
        return raw if self._output is None else raw[self._output]

    @property
    def classes(self) -> int:
        """How many classes camscope shows."""
        return 2 if self.head.classes == 1 and self.recipe.task is None else self.head.classes

    def note(self, result: str, about: str, why: str = "") -> None:
        """Note a finding."""
        self._findings.append(Finding(result, about, why))

    def explain(
        self, x: torch.Tensor, *, explainer: camscope.Explainer | None = None, **call: Any
    ) -> camscope.Explanation:
        """Ask camscope, the same Explainer each time unless another is given."""
        with self._as_it_came():
            return (explainer or self._explainer)(x, **call)

    def layers(self, x: torch.Tensor, explainer: camscope.Explainer | None = None) -> Sequence[Any]:
        """All layers with a grid, as camscope finds them."""
        with self._as_it_came():
            return (explainer or self._explainer).layers(x, every=True)[0]

    @contextmanager
    def noting(self, about: str, *, needless: bool = False) -> Iterator[None]:
        """Within this context errors are noted, and end it.

        Args:
            about: what is asked for.
            needless: whether there is an answer, so that a refusal of a layer is not right.
        """
        try:
            yield
        except camscope.CamscopeError as error:
            of_a_layer = isinstance(error, (camscope.LayerError, camscope.MethodError))
            self.note(NEEDLESS if needless and of_a_layer else REFUSED, about, str(error))
        except Exception as error:
            self.note(RAW, about, short(error))

    @contextmanager
    def _as_it_came(self) -> Iterator[None]:
        """The model in the mode that a user has it in; every second module in training mode, if it comes so."""
        flags = [self.recipe.training and number % 2 == 0 for number, _ in enumerate(self.net.modules())]
        for module, flag in zip(self.net.modules(), flags, strict=True):
            module.training = flag
        try:
            yield
        finally:
            if [module.training for module in self.net.modules()] != flags:
                self.note(WRONG, "the model afterwards", "changed: training flags")
            self.net.eval()
