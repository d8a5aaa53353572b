"""Classes that the model masks out: their logit is −∞ and their probability 0, so nothing drove them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace

from camscope.arrays import detached, to_numpy
from camscope.errors import TargetError
from camscope.outputs import Outputs
from camscope.targets.class_names import class_name
from camscope.targets.table import Targets

_LISTED = 10


def refuse_masked(targets: Targets, outputs: Outputs, class_names: Sequence[str] | None) -> None:
    """Refuse targets that are about a class that is masked out, or contrast another with it.

    Args:
        targets: of the batch.
        outputs: of the model for it.
        class_names: the names of all classes; None if they are not known.

    Raises:
        TargetError: naming the classes that are not masked out.
    """
    xp = array_namespace(outputs.logits)
    if bool(xp.all(xp.isfinite(outputs.logits))):
        return
    finite = np.isfinite(to_numpy(detached(outputs.logits)))
    scores = np.isfinite(to_numpy(detached(targets.scores(outputs))))
    for b, t in np.ndindex(scores.shape):
        against = targets.against[t]
        others = [] if against is None else against.classes[b].tolist()
        involved = [*others] if targets.functions[t] is not None else [int(targets.classes[b, t]), *others]
        if scores[b, t] and finite[b, involved].all():
            continue
        label = targets.infos(class_names)[b][t].label
        left = np.flatnonzero(finite[b]).tolist()
        listed = ", ".join(class_name(c, class_names) for c in left[:_LISTED])
        more = f" and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
        raise TargetError(
            f"{label!r} cannot be explained in image {b}: the model masks a class of it out there, so its logit is −∞ "
            f"whatever the image shows. Not masked out are: {listed}{more}."
        )
