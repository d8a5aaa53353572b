"""Which maps a file can give: of which models, by which methods, at which layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from camscope.composition import parse, simplified
from camscope.engine.model import Model
from camscope.errors import InputError, MethodError, ModelError, nearest
from camscope.evidence import Need
from camscope.methods import Method, default_method, get_method, list_methods
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.map_programs import IN_A_PROGRAM, HasPrograms, MapPrograms, Recipe
from camscope.targets import TopK, resolve

_TOP = 5
"""Of how many classes there are maps, if nothing is said."""


def programs_of(model: Model, path: Path) -> MapPrograms:
    """What writes a model as a program.

    Args:
        model: the model.
        path: the file; its suffix says which kind.

    Raises:
        InputError: for another suffix.
        MissingExtraError: if a package is not installed that such a file takes.
        ModelError: if the model is of a framework or a kind of which no program can be written.
    """
    if not isinstance(model.adapter, HasPrograms):
        raise _no_program_of(model)
    programs: MapPrograms = model.adapter.programs()
    if path.suffix not in programs.suffixes:
        kinds = " or ".join(map(repr, programs.suffixes))
        raise InputError(
            f"{path.name!r}: the suffix says what is written, and {path.suffix!r} is none of {kinds}."
            f"{nearest(path.suffix, programs.suffixes)}"
        )
    programs.check(path.suffix)
    return programs


def _no_program_of(model: Model) -> ModelError:
    """Of what its framework's adapter writes none."""
    framework = str(model.adapter.describe().get("framework"))
    instead = {
        "onnxruntime": "An ONNX file is explained as it is, with camscope.explain; for a file with maps export the "
        "PyTorch model that it was made of.",
        "keras": "A Keras model leaves without maps by its own model.export('model.onnx', format='onnx'), and that is "
        "explained as 'onnx:model.onnx'.",
    }.get(framework.split(" ")[0], "It is explained as it is, with camscope.explain.")
    name = model.info.name or model.adapter.describe().get("model")
    return ModelError(
        f"Only PyTorch models can be exported with their maps, and {name} runs in {framework}. {instead}"
    )


def check_kind(model: Model) -> None:
    """Refuse models whose maps are not of classes of an array, as far as their library tells.

    Raises:
        ModelError: saying what the model is.
    """
    if model.info.caption_decoder is not None:
        raise _no_classifier("it compares images with captions, which come with each call")
    if model.info.texts is not None:
        raise _no_classifier("it reads texts")
    if model.info.explained == "instance":
        raise _no_classifier("it finds instances, of which each has a map of its own")


def check_exportable(method: str | Method, programs: MapPrograms) -> Method:
    """The method, if a program can hold it.

    Args:
        method: as the user gave it.
        programs: write the model.

    Raises:
        MethodError: if there is no such method, or it cannot be exported; the message names those that can.
    """
    written = parse(method)
    plain = simplified(written)
    if isinstance(plain, Method) and _fits(plain, programs):
        return plain
    lacking = sorted(need.value for need in plain.needs - IN_A_PROGRAM)
    why = (
        f"it needs {', '.join(lacking)}"
        if lacking
        else "it is made of other methods"
        if not isinstance(plain, Method)
        else "it gives the same map for every class"
        if not plain.class_specific
        else "what it computes depends on values that it looks at"
    )
    able = ", ".join(m.base for m in list_methods() if _fits(m, programs))
    raise MethodError(f"{written.name} cannot be exported, since {why}. These can: {able}.")


def _fits(method: Method, programs: MapPrograms) -> bool:
    ours = method.scope == "layer" and method.class_specific and not method.at_input_size
    return ours and method.needs <= IN_A_PROGRAM and programs.can_hold(method)


def recipe_of(
    model: Model, batch: Batch, method: Method | None, layer: Any, top: int | None
) -> tuple[Recipe, Method]:
    """Which maps a program is to give.

    Args:
        model: the model.
        batch: on which its layer is chosen, and its linear head verified.
        method: None takes the default behind a linear head, or without one.
        layer: as the user gave it; None takes the automatic choice.
        top: of how many classes; None takes five, or all of fewer.

    Returns:
        The recipe, and the method.

    Raises:
        InputError: if the model has fewer classes.
        LayerError: if there is no such layer.
        ModelError: if the model is no classifier.
    """
    classes = _classes_of(model, batch)
    if top is not None and top > classes:
        raise InputError(
            f"top={top}: the model has {classes} classes. Leave top out for the {min(_TOP, classes)} highest, or give "
            f"top={classes} for all."
        )
    adapter = model.adapter
    at = adapter.choose(batch)[0] if layer is None else adapter.layer(batch, layer, model.grid)
    pooled = _pooled(model, batch, at)
    if method is None:
        method = default_method(adapter.offers)
        if pooled is not None and method.behind_linear_head is not None:
            method = get_method(method.behind_linear_head.as_method)
    return Recipe(at, method, method.needs, min(_TOP, classes) if top is None else top, pooled), method


def _classes_of(model: Model, batch: Batch) -> int:
    """How many classes a model has, which must take one array, and put out one score per class.

    Raises:
        ModelError: saying what they do.
    """
    several = len(batch.args) + len(batch.kwargs)
    if several != 1:
        raise _no_classifier(f"it takes {several} inputs")
    with model.adapter.observe(batch, {}) as seen:
        if seen.outputs.predictions is not None:
            raise _no_classifier(
                "it puts out scores of every position, or other predictions than scores of classes"
            )
        return int(seen.outputs.logits.shape[1])


def _no_classifier(why: str) -> ModelError:
    return ModelError(
        f"Only classifiers of one array (a photo, a volume, a signal) can be exported with their maps, and this model "
        f"is none: {why}. Explain it with camscope.explain."
    )


def _pooled(model: Model, batch: Batch, layer: Layer) -> Literal["activations", "their ReLU"] | None:
    """What a linear head, verified on the batch, pools of a layer."""
    needs = {layer: frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.GRADIENTS})}
    with model.adapter.observe(batch, needs) as seen:
        targets = resolve(TopK(1), seen.outputs)
        (head,) = (evidence.head for _, _, evidence in seen.evidence(targets, needs, 0))
    if head is None:
        return None
    return "activations" if head.pools_activations else "their ReLU"
