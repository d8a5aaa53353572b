"""`camscope.export`: a model with its maps in one file, verified before it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camscope.arrays import to_numpy
from camscope.engine.call import read_call
from camscope.engine.explaining import Explaining
from camscope.engine.model import open_model
from camscope.errors import InputError, check_folder
from camscope.evidence import Need
from camscope.exporting.facts import facts_of
from camscope.exporting.recipes import check_exportable, check_kind, programs_of, recipe_of
from camscope.exporting.trial import changed_by_rounding, trial_inputs
from camscope.exporting.verifying import Verified, check_shapes, verified
from camscope.keywords import keywords
from camscope.methods import Method
from camscope.models.batch import Batch
from camscope.results import Explanation
from camscope.surviving import written_aside
from camscope.targets import PerImage, TopK

_ROWS_TRACED = 2


@dataclass(frozen=True)
class Exported:
    """A file that gives maps.

    Attributes:
        path: the file.
        bytes: its size, with the file of its weights if there is one.
        method: whose maps it gives.
        layer: at which layer.
        top: of how many classes.
        classes: how many there are.
        input_size: of one input, without the batch.
        map_size: of one map.
        verified: how it was verified.
        notes: what whoever uses it should know.
    """

    path: Path
    bytes: int
    method: str
    layer: str
    top: int
    classes: int
    input_size: tuple[int, ...]
    map_size: tuple[int, ...]
    verified: Verified
    notes: tuple[str, ...]


@keywords("camscope.export(model, out, {})", passes_on=open_model)
def export(
    model: Any,
    out: str | Path,
    *,
    method: str | Method | None = None,
    layer: Any = None,
    top: int | None = None,
    inputs: Any = None,
    size: Sequence[int] | None = None,
    **model_options: Any,
) -> Exported:
    """Write a model with its maps as one file, which needs neither camscope nor the model's code any more.

        camscope.export("demo", "model.onnx")
        logits, classes, maps = onnxruntime.InferenceSession("model.onnx").run(None, {"input": x})

    The outputs are `logits` (`batch class`, before a final softmax or sigmoid; both classes of a one-logit head),
    `classes` (`batch top`, those with the highest logits) and `maps` (`batch top *space`, raw and signed, at the
    layer's resolution: a heatmap takes the positive part, scales it and resizes it). The batch may have any size. The
    file's metadata says how photos are prepared and what the classes are called.

    Before the file takes its place it is run on a test batch, of another size than it was traced with, and its maps
    are held against camscope's own. What is not the same is not written. The model is left as it came.

    Args:
        model: see `Explainer`. A PyTorch classifier of images, or of any other arrays.
        out: the file: `.onnx`, or `.pt2` (PyTorch's own). The weights of ONNX files above 2 GB lie beside it.
        method: one whose maps follow from activations, gradients or a linear head. None takes CAM where the model has
            a linear head, else the default, Grad-CAM.
        layer: a name or module; None takes the automatic choice.
        top: of how many classes there are maps. None takes five, or all of fewer.
        inputs: what it is verified on, as for a call of an `Explainer`; other rows are made from these. By default
            made-up pictures, of the size that the model's preprocessing gives.
        size: the size of made-up inputs, where it is not known.
        model_options: the arguments of `Explainer`.

    Raises:
        InputError: for another suffix, no such folder, inputs whose size is not known, or more maps than classes.
        LayerError: if there is no such layer, or it gives no maps.
        MethodError: for a method that does not exist or cannot be exported; the message names those that can.
        MissingExtraError: if a package that writes such files is not installed.
        ModelError: if the model cannot be exported, or the file does not give the same maps.

    Example:
        >>> written = camscope.export(model, "model.onnx", size=(64, 64))
        >>> written.method, written.map_size, written.verified.maps < 1e-4
        ('cam', (2, 2), True)
    """
    path = Path(out)
    check_folder(path)
    if top is not None and (isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1):
        raise InputError(
            f"top={top!r}: expected of how many classes there are maps, a whole number from 1 on."
        )
    opened = open_model(model, **model_options)
    programs = programs_of(opened, path)
    check_kind(opened)
    wanted = None if method is None else check_exportable(method, programs)
    with opened.adapter.exclusive():
        notes = opened.notes()
        given, batch = trial_inputs(opened, inputs, size)
        recipe, how = recipe_of(opened, batch, wanted, layer, top)

        def explained(targets: Any, of: Batch = batch) -> Explanation:
            call = read_call(
                how, opened.adapter.offers, explained="class", layers=[recipe.layer.name], channels=0, seed=0
            )
            return Explaining(opened, call, (), notes).pictures(of, given, targets)

        own = explained([TopK(recipe.top)])  # what cannot be explained says so before the long work
        facts = facts_of(opened, own)
        with written_aside(path) as aside:
            written = programs.write(batch.images(slice(_ROWS_TRACED)), recipe, aside, facts)
            outputs = written.run(to_numpy(batch.given))
            check_shapes(outputs, own)
            classes = outputs.classes.tolist()
            if [[target.index for target in row] for row in own.targets] != classes:
                own = explained(PerImage(classes))  # of equal logits either may come first

            def disturbed() -> Iterator[Explanation]:
                return (explained(PerImage(classes), some) for some in changed_by_rounding(batch))

            by_gradients = Need.GRADIENTS in recipe.needs
            found = verified(outputs, own, written.runtime, disturbed if by_gradients else None)
            bytes_written = sum(file.stat().st_size for file in aside.parent.iterdir())
            notes.add(written.note)
            notes.add(found.note)
            del written  # a session may hold the file
        notes.warn()
        return Exported(
            path=path,
            bytes=bytes_written,
            method=how.name,
            layer=recipe.layer.name,
            top=outputs.classes.shape[1],
            classes=outputs.logits.shape[1],
            input_size=tuple(int(n) for n in batch.given.shape[1:]),
            map_size=tuple(int(n) for n in outputs.maps.shape[2:]),
            verified=found,
            notes=notes.all,
        )
