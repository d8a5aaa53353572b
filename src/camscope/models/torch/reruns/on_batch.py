"""A plan on one batch: tried on each image, for altered copies of its activations, before it is used for that image.

A plan is found on one image. Another may take another branch of the model's code, or wake up what was dead on the
first, so what the plan says is held against the whole model's answer. Where they differ, that image is given to the
whole model for every altered copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
from torch import nn

from camscope.models.observing import slices_of
from camscope.models.torch.hooks.modules import first_tensor
from camscope.models.torch.hooks.session import hook_after
from camscope.models.torch.precision import rounding, same_rows
from camscope.models.torch.reruns.flattened import Flattened, Parts
from camscope.models.torch.reruns.following import Following, following
from camscope.models.torch.reruns.suffix import Kept, Plan, replaced, replaying
from camscope.outputs import Outputs

Run = Callable[[torch.Tensor], Outputs]
"""Runs the model on altered inputs of a batch, or on variants of one of its images. What else it takes is filled in."""

_LOOSER = 4
"""A logit near zero is the sum of larger terms, which nobody sees: so many times its rounding is allowed."""


@dataclass(eq=False)
class OnBatch:
    """How the part of a model after a layer is run for the images of one batch.

    Attributes:
        model: an unwrapped module, inside `explaining`.
        run: runs the model on all images.
        run_of: from the number of an image to what runs the model on any number of variants of it.
        x: the batch.
        plan: proposes how the part after the layer is run.
        kept: what it needs of the forward of the batch.
        chunk_of: how many variants are run at a time by a plan.
        find_flattened: proposes the linear layer that reads the layer's channels side by side; None if there is none.
    """

    model: nn.Module
    run: Run
    run_of: Callable[[int], Run]
    x: Shaped[torch.Tensor, " batch *size"]
    plan: Plan
    kept: Kept
    chunk_of: Callable[[Plan], int]
    find_flattened: Callable[[], Flattened | None]
    _plans: dict[int, Plan] = field(default_factory=dict)
    _shortcuts: dict[int, bool] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the maps should know of the way they were made; often nothing."""
        whole = [plan.whole for plan in self._plans.values()]
        if not any(whole):
            return ()
        some = "" if all(whole) else "for some images "
        return (
            f"The part after {self.plan.layer.name!r} cannot be run by itself in this model {some}(checked in "
            "numbers, which must show it), so the whole model was run again for every altered activation: the same "
            "maps, slower.",
        )

    def plan_for(self, image: int) -> Plan:
        """How the part after the layer is run for one image. The whole model, where the plan was not right for it.

        Args:
            image: the number of the image in the batch.
        """
        if image not in self._plans:
            for each, right in enumerate(self._rightness()):
                self._plans.setdefault(each, self.plan if right else self._whole)
        return self._plans[image]

    def logits(
        self, image: int, activations: Float[torch.Tensor, "variant channel *space"]
    ) -> Float[torch.Tensor, "variant class"]:
        """The class scores for any number of altered outputs of the layer for one image.

        Args:
            image: the number of the image in the batch.
            activations: the altered outputs.
        """
        plan = self.plan_for(image)
        kept = self._nothing_kept if plan.whole else self.kept
        return self._logits(plan, kept, image, image, activations)

    def outputs(
        self,
        plan: Plan,
        kept: Kept,
        place: int,
        image: int,
        activations: Float[torch.Tensor, "variant channel *space"],
    ) -> Outputs:
        """What the model makes of altered outputs of a layer.

        Args:
            plan: how the part after that layer is run.
            kept: what it needs.
            place: which of the images that `kept` is of.
            image: which of the batch's images that is.
            activations: the layer's altered outputs, no more than are run at a time.
        """
        own = self.x[image : image + 1]
        with replaying(self.model, plan, kept, place, activations):
            found = self.run_of(image)(own.expand(len(activations), *own.shape[1:]))
        if plan is self.plan and not plan.whole and bool(found.logits.isnan().any()):
            # something was used that was not used before: what is not kept is NaN
            self._plans[image] = self._whole
            return self.outputs(self._whole, self._nothing_kept, image, image, activations)
        return found

    def parts_for(self, image: int) -> tuple[Plan, Parts] | None:
        """How the model is run after the linear layer that reads the channels side by side, and what goes into that.

        None if there is no such layer, or what is computed by its parts is not right for this image.

        Args:
            image: the number of the image in the batch.
        """
        if self.plan_for(image).whole or not self._shortcuts.get(image, True):
            return None
        shortcut = self.find_flattened()
        if shortcut is None:
            return None
        with torch.no_grad():
            own = self.x[image : image + 1]
            parts = shortcut.parts(self.model, lambda x: self.run_of(image)(x).logits, own)
            if image not in self._shortcuts:
                self._shortcuts[image] = self._are_right(parts, shortcut, image)
        return (shortcut.rest, parts) if self._shortcuts[image] else None

    def refuse_parts(self, image: int) -> None:
        """What `parts_for` gives was not right for some altered copy of this image: it gives None from now on."""
        self._shortcuts[image] = False

    @property
    def _whole(self) -> Plan:
        """Runs the whole model with the layer's output replaced."""
        return Plan(self.plan.layer, (), self.kept.calls - 1, whole=True)

    @property
    def _nothing_kept(self) -> Kept:
        return Kept(uses=self.kept.uses, inputs=self.kept.inputs)

    @property
    def own(self) -> Shaped[torch.Tensor, "batch ..."]:
        """What the layer put out for the batch, in its own layout."""
        own = first_tensor(self.kept.own)
        assert own is not None
        return own

    def _activations(self, image: int) -> Float[torch.Tensor, " channel *space"]:
        layer = self.plan.layer
        canonical: torch.Tensor = layer.grid.canonical(self.own)[image]
        return canonical.clamp(min=0) if layer.after_relu else canonical

    def _rightness(self) -> list[bool]:
        """For each image, whether the plan gives for altered copies of its activations what the whole model does.

        The whole model runs all images at once. Of an image for which it answers the same to all copies (all units of
        a hidden layer are asleep, say) nothing is known.
        """
        count = len(self.x)
        if self.plan.whole:
            return [False] * count
        altered = torch.stack([altered_copies(self._activations(image), image) for image in range(count)], 1)
        expected = torch.stack([self._whole_logits(variant) for variant in altered], 1)
        return [self._is_right(image, altered[:, image], expected[image]) for image in range(count)]

    def _whole_logits(
        self, altered: Float[torch.Tensor, "batch channel *space"]
    ) -> Float[torch.Tensor, "batch class"]:
        """What the whole model puts out for the batch, the layer's output replaced."""
        nothing = self._nothing_kept
        with (
            torch.no_grad(),
            replaced(self.model, self._whole, nothing, 0, len(altered), lambda _: altered),
        ):
            logits: torch.Tensor = self.run(self.x).logits
        return logits

    def _is_right(
        self,
        image: int,
        altered: Float[torch.Tensor, "variant channel *space"],
        expected: Float[torch.Tensor, "variant class"],
    ) -> bool:
        if self._same(expected, expected[:1].expand_as(expected)):
            return False
        try:
            found = self._logits(self.plan, self.kept, image, image, altered)
        except (
            Exception
        ):  # whatever the model's own code says of it: it cannot be done like this for this image
            return False
        return self._same(found, expected)

    def _are_right(self, parts: Parts, shortcut: Flattened, image: int) -> bool:
        """Whether the linear layer's outputs without some channels give what the plan does without them.

        Nothing of the activations may reach the logits past that layer, nor decide a branch there.
        """
        activations = self._activations(image)
        weights = halves(len(activations), image).to(activations)
        altered = activations * weights.reshape(*weights.shape, *(1,) * (activations.ndim - 1))
        try:
            with following(Following(), {"past": altered}, of=self.model) as followed:
                linear = self.model.get_submodule(shortcut.linear)
                handle = hook_after(linear, lambda _module, _inputs, output: followed.cut(output))
                try:
                    expected = self._logits(self.plan, self.kept, image, image, altered)
                finally:
                    handle.remove()
                if followed.of(expected) or followed.read:
                    return False
        except Exception:  # whatever the model's own code says of being followed
            return False
        found = self._logits(shortcut.rest, parts.kept, 0, image, parts.weighed(weights))
        return self._same(found, expected)

    def _logits(
        self,
        plan: Plan,
        kept: Kept,
        place: int,
        image: int,
        altered: Float[torch.Tensor, "variant channel *space"],
    ) -> Float[torch.Tensor, "variant class"]:
        """See `outputs`; a chunk at a time."""
        with torch.no_grad():
            return torch.cat(
                [
                    self.outputs(plan, kept, place, image, altered[some]).logits
                    for some in slices_of(len(altered), self.chunk_of(plan))
                ]
            )

    def _same(
        self, found: Float[torch.Tensor, "variant class"], expected: Float[torch.Tensor, "variant class"]
    ) -> bool:
        """Whether all logits are the same; each is held against its own size over the variants."""
        size = expected.nan_to_num(0, 0, 0).abs().amax(0, keepdim=True)
        return bool(
            same_rows(found, expected, size, _LOOSER * rounding(self.own.dtype, expected.dtype)).all()
        )


def halves(channels: int, seed: int) -> Float[torch.Tensor, "variant channel"]:
    """Weights of channels: 1 for a random half and 0 for the others, then the other way round; twice.

    Args:
        channels: how many there are.
        seed: of the choice, so that each image has its own.
    """
    drawn = torch.rand((2, channels), generator=torch.Generator().manual_seed(seed))
    kept = (drawn.argsort(1) < (channels + 1) // 2).double()
    return torch.stack([kept[0], 1 - kept[0], kept[1], 1 - kept[1]])


def altered_copies(
    activations: Float[torch.Tensor, " channel *space"], seed: int
) -> Float[torch.Tensor, "variant channel *space"]:
    """Two altered copies of one image's activations, of the kinds that methods make.

    Half of the channels is left at every position; then the other half alone at half of the positions, halved. So each
    channel is alive in one of them, and each position in one at least.

    Args:
        activations: of the image.
        seed: of the choice.
    """
    first, second, *_ = halves(len(activations), seed)
    space = activations.shape[1:]
    across = (-1, *(1,) * len(space))
    positions = 0.5 * halves(space.numel(), seed + 1)[0].reshape(space)
    masks = [first.reshape(across).expand_as(activations), second.reshape(across) * positions]
    return torch.stack([activations * mask.to(activations) for mask in masks])
