"""Finds a model's weights in a file: under the prefix, if any, behind which all of the model's names stand.

A training saves its weights inside of dictionaries (`state_dict`, `model_state_dict`, `model_ema` …), and wrappers put
words before their names (`module.`, `_orig_mod.`, `model.`, `backbone.` …). Both are a prefix of the names that
`Checkpoint.tensors` has, so neither needs a list of words: the prefix is found that fits most of the model's names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from camscope.libraries.checkpoints.reading import Checkpoint

_AVERAGED = re.compile(r"(^|[._])(ema|averaged|swa|avg)([._]|$)", re.IGNORECASE)
"""Words in the prefix of weights that were averaged over a training."""


@dataclass(frozen=True)
class Fit:
    """A file's weights under a model's names.

    Attributes:
        whole: whether all of the model's weights are there, in shapes that differ in their heads at most.
        prefix: what stood before their names.
        state: the weights by the model's names, and by others of the file behind the same prefix.
        others: prefixes of other weights in the file that fit the model as well.
        beside: names of tensors in the same dictionary that stand behind no such prefix.
    """

    whole: bool
    prefix: str
    state: Mapping[str, Any]
    others: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """What a reader should know of the choice."""
        found = []
        if self.others:
            named = " and ".join(f"'{one or '(no prefix)'}'" for one in map(_written, self.others))
            found.append(
                f"The file holds weights for this model more than once: those under '{_written(self.prefix)}' were "
                f"taken, and not those under {named}. To have others, save them in a file of their own."
            )
        if self.beside:
            more = f" and {len(self.beside) - 3} more" if len(self.beside) > 3 else ""
            found.append(
                f"The file holds more than this model's weights; left out were {', '.join(self.beside[:3])}{more}."
            )
        return found


def fit(checkpoint: Checkpoint, model: Any) -> Fit:
    """The weights in a file that are for a model, or come closest.

    Args:
        checkpoint: what was read.
        model: a `torch.nn.Module`.
    """
    own = model.state_dict()
    tensors = checkpoint.tensors
    counts = _counts(tensors, own)
    whole = [prefix for prefix in counts if _fits(tensors, own, prefix)]
    best = (
        max(whole, key=_rank) if whole else max(counts, key=lambda one: (counts[one], _rank(one)), default="")
    )
    state = {name.removeprefix(best): _dense(one) for name, one in tensors.items() if name.startswith(best)}
    if not whole:
        return Fit(False, best, state)
    # in the same dictionary may stand what is not behind the words that a wrapper put before the names
    dictionary = best[: _length_of_dictionaries(checkpoint.content, best)]
    beside = (
        name
        for name, one in tensors.items()
        if one.ndim and name.startswith(dictionary) and not name.startswith(tuple(whole))
    )
    others = tuple(prefix for prefix in whole if prefix != best)
    return Fit(True, best, _without_own(state, own, model), others, tuple(beside))


def _counts(tensors: Mapping[str, Any], own: Mapping[str, Any]) -> Counter[str]:
    """How many of a model's names stand behind each prefix."""
    counts: Counter[str] = Counter()
    for name in tensors:
        for start in _starts(name):
            if name[start:] in own:
                counts[name[:start]] += 1
    return counts


def _starts(name: str) -> Iterable[int]:
    """Where a name could begin behind a prefix."""
    return [0, *(dot.end() for dot in re.finditer(r"\.", name))]


def _fits(tensors: Mapping[str, Any], own: Mapping[str, Any], prefix: str) -> bool:
    """Whether a file has all of a model's weights behind a prefix, in shapes that differ in their heads at most."""
    return all(
        (found := tensors.get(prefix + name)) is not None and found.shape[1:] == weight.shape[1:]
        for name, weight in own.items()
        if not name.endswith(_COUNTS)
    )


_COUNTS = ("num_batches_tracked", "total_ops", "total_params")
"""Endings of what is counted beside the weights: by batch norms, which older files do not hold, and by profilers."""


def _rank(prefix: str) -> tuple[bool, int]:
    """Averaged weights come first, which a training is judged by; then those with the fewest words before them."""
    return bool(_AVERAGED.search(prefix)), -len(prefix)


def _length_of_dictionaries(content: Any, prefix: str) -> int:
    """How much of a prefix is the names of dictionaries."""
    length, found = 0, content
    while isinstance(found, Mapping):
        inner = [
            name
            for name in found
            if isinstance(name, str)
            and prefix[length:].startswith(f"{name}.")
            and isinstance(found[name], Mapping)
        ]
        if not inner:
            break
        found = found[inner[0]]
        length += len(inner[0]) + 1
    return length


def _without_own(state: Mapping[str, Any], own: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The weights without what the model makes by itself: its own constant buffers, parts that it is built without."""
    constant = dict(model.named_buffers())

    def is_needless(name: str) -> bool:
        made = name.endswith(_COUNTS) or _same(state[name], constant.get(name))
        return name not in own and (made or _is_left_out(name, model))

    return {name: weight for name, weight in state.items() if not is_needless(name)}


def _same(weight: Any, own: Any) -> bool:
    """Whether two tensors are equal, as far as the second has values; False if there is none."""
    if own is None or weight.shape != own.shape:
        return False
    return own.is_meta or (not weight.is_meta and bool((weight == own).all()))


def _is_left_out(name: str, model: Any) -> bool:
    """Whether a weight is of a part that the model has room for, and is built without: a head for training, say."""
    part, _, rest = name.partition(".")
    return bool(rest) and hasattr(model, part) and getattr(model, part) is None


def _dense(weight: Any) -> Any:
    import torch

    return weight.to_dense() if weight.layout != torch.strided else weight


def _written(prefix: str) -> str:
    return prefix.removesuffix(".")
