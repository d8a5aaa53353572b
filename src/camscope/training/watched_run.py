"""Which images a run is watched on, and who watches."""

from __future__ import annotations

from typing import Any

from camscope.errors import InputError
from camscope.images import Photo
from camscope.targets import PerImage
from camscope.training.training_plan import Plan
from camscope.watching import Recorder

_SAMPLES = 12
_EACH = 2


def recorder_of(plan: Plan, writer: Any = None) -> Recorder:
    """A recorder of the maps of some images that are held out, one or two of each class, for the class they have.

    Args:
        plan: what is trained.
        writer: TensorBoard's `SummaryWriter` that gets pictures; or None.
    """
    labelled, preprocessing = plan.labelled, plan.preprocessing
    chosen = watched(plan)
    classes = [kind for _, kind, _ in chosen]
    options: dict[str, Any] = (
        {"labels": classes} if not labelled.multilabel else {"targets": PerImage(classes)}
    )
    return Recorder(
        plan.folder.maps,
        [photo.pixels for _, _, photo in chosen],
        names=[labelled.names[index] for index, _, _ in chosen],
        preprocessing=preprocessing,
        class_names=list(labelled.classes),
        task=plan.document["task"],
        boards=None if writer is None else [writer],
        **options,
    )


def watched(plan: Plan) -> list[tuple[int, int, Photo]]:
    """The number, the class and the pixels of each image that is watched: the first held out of each class.

    Args:
        plan: what is trained.
    """
    labelled, held = plan.labelled, plan.parts.val.tolist()
    each = _EACH if len(labelled.classes) * _EACH <= _SAMPLES else 1
    found: list[tuple[int, int, Photo]] = []
    for kind in range(len(labelled.classes)):
        taken = {index for index, *_ in found}
        count = 0
        for index in held:
            if count == each or len(found) == _SAMPLES:
                break
            if not labelled.targets[index, kind] or index in taken:
                continue
            try:
                found.append((index, kind, labelled.photo(index)))
            except InputError:
                continue  # the batches name it
            count += 1
    return found
