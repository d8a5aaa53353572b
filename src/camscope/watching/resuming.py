"""Going on with a history: it must be wanted, and of the same samples and method."""

from __future__ import annotations

from pathlib import Path

from camscope.errors import InputError
from camscope.watching.shards import BROKEN, SAMPLES, steps_in
from camscope.watching.watched_samples import Samples, read_samples


def samples_before(out: Path, resumed: bool) -> Samples | None:
    """The samples of a history that is gone on with; None if a new one begins.

    Args:
        out: the recorder's folder.
        resumed: whether it was said that the training goes on.

    Raises:
        InputError: if there is a history, and nobody said that this goes on with it; or if it is broken.
    """
    steps = steps_in(out)
    if not steps:
        return None
    if not resumed:
        raise InputError(
            f"{out} holds a history already, up to step {steps[-1]}. To go on from a checkpoint of step n call "
            "recorder.from_step(n) first (what is later is forgotten); recorder.from_step(0) starts anew. Or choose "
            "another folder."
        )
    try:
        return read_samples(out)
    except BROKEN as error:
        raise InputError(
            f"{out / SAMPLES} is broken ({error}), so this history cannot be gone on with. recorder.from_step(0) "
            "starts anew."
        ) from error


def check_same(out: Path, kept: Samples, found: Samples) -> None:
    """Refuse to go on with a history of other samples or labels, or of another method.

    Args:
        out: the recorder's folder.
        kept: the samples of the history.
        found: those of the recorder.

    Raises:
        InputError: if they differ.
    """
    if kept.digest != found.digest:
        raise InputError(
            f"The history in {out} is of other samples: {len(kept)} of shape {kept.inputs.shape[1:]}, and not these "
            f"{len(found)} of shape {found.inputs.shape[1:]} with these values. Give the same ones, or choose another "
            "folder."
        )
    if kept.labels != found.labels:
        raise InputError(
            f"The history in {out} is of samples with the labels {', '.join(kept.labels)}, and these have "
            f"{', '.join(found.labels)}. Give the same ones, or choose another folder."
        )
    if kept.method != found.method:
        raise InputError(
            f"The history in {out} holds maps of {kept.method}, and {found.method} was asked for. Give "
            f"method={kept.method!r}, or choose another folder."
        )
