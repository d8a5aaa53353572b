"""Loading models by name: demo, timm:NAME and what else a library registers; FILE.py:FACTORY; a run's folder."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any

from camscope.errors import ModelError, either, nearest
from camscope.images import IMAGENET
from camscope.libraries import training_runs
from camscope.libraries.checkpoints import class_names_in, fit, read_checkpoint, unused_names
from camscope.libraries.checkpoints.architectures import said_otherwise
from camscope.libraries.factories import from_file, is_factory
from camscope.libraries.heads import classes_in, outputs_of
from camscope.libraries.info import ModelInfo
from camscope.libraries.pickled_models import may_be_pickled, open_pickled
from camscope.libraries.registry import Library, libraries, library_of, recognise
from camscope.libraries.weights import RANDOM, check_takes_weights, put
from camscope.models.file_kinds import WEIGHTS, nearest_file, what_it_is
from camscope.models.registry import unwrapped


@dataclass(frozen=True)
class Loaded:
    """A model and its info."""

    model: Any
    info: ModelInfo


def load_model(
    spec: str | PathLike[str],
    *,
    weights: str | Path | None = None,
    trust_pickle: bool = False,
    num_classes: int | None = None,
) -> Loaded:
    """Build a model from its name.

    Args:
        spec: `demo`, `timm:NAME`, `torchvision:NAME`, `hf:NAME-OR-FOLDER` (Hugging Face), `keras:NAME`,
            `keras:FILE.keras`, `FILE.py:FACTORY` (a function without arguments that returns the model, or the model
            itself), the folder of a training run (`runs/NAME`), or, with `trust_pickle`, a file that holds a whole
            pickled model. The model may carry `preprocessing` and `class_names`.
        weights: a file (safetensors, or a PyTorch checkpoint read without running code in it), `random` for
            an untrained network, or None for the published weights. The head becomes as large as that in the file.
        trust_pickle: whether to read a file that can run code. Only for files you would run as a program.
        num_classes: how many outputs the model is to have, where it is built by name; None for as many as the weights
            have.

    Raises:
        ModelError: for an unknown spec or name, weights that do not fit or cannot be fetched, or a checkpoint that
            would run code.
        MissingExtraError: if the model's library is not installed.
    """
    _check_options(weights, num_classes)
    source = _Source(str(spec), weights is None, trust_pickle)
    if weights is None or str(weights) == RANDOM:
        return source.build(num_classes)
    path = Path(weights).expanduser()
    loaded = source.build(num_classes)
    own = library_of(loaded.model)
    if own is not None and hasattr(home := own.load(), "fill"):
        home.fill(loaded.model, path)
        return Loaded(loaded.model, dataclasses.replace(loaded.info, untrained=False))
    return _filled(source, loaded, path, num_classes)


_PUBLISHED = ("default", "imagenet", "pretrained", "true", "imagenet1k_v1", "imagenet1k_v2")
"""How other libraries are asked for published weights."""


def _check_options(weights: Any, num_classes: Any) -> None:
    """Refuse what is no file of weights and no number of classes.

    Raises:
        ModelError: saying what was expected.
    """
    if isinstance(weights, Mapping):
        raise ModelError(
            f"weights is the name of a file, and a {type(weights).__name__} was given. Build the model, "
            "model.load_state_dict(weights), and explain it; or save it, torch.save(weights, 'weights.pth'), and give "
            "weights='weights.pth'."
        )
    published = str(weights).lower() in _PUBLISHED and not Path(str(weights)).exists()
    if published or not isinstance(weights, (str, PathLike, NoneType)):
        raise ModelError(
            f"weights={weights!r}: expected a file, or {RANDOM!r} for an untrained network. For the published weights "
            "leave it out."
        )
    if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 1):
        raise ModelError(f"num_classes={num_classes!r}: expected a whole number, at least 1.")


def _filled(source: _Source, loaded: Loaded, path: Path, num_classes: int | None) -> Loaded:
    """A model with the weights in a file; its head is made anew if that in the file is of other classes."""
    check_takes_weights(loaded.model)
    checkpoint = read_checkpoint(path, trust=source.trust)
    found = fit(checkpoint, loaded.model)
    outputs = num_classes or len(loaded.info.class_names or ()) or outputs_of(loaded.model)
    classes = classes_in(found.state, loaded.model, outputs)
    if classes is not None and num_classes is not None:
        raise ModelError(
            f"The head in {path} has {classes} outputs, and num_classes (--num-classes) is {num_classes}."
        )
    if classes is not None:
        with contextlib.suppress(_FixedHeadError):  # then the weights do not fit, which is said
            loaded = source.build(classes)
            found = fit(checkpoint, loaded.model)
    put(loaded.model, found.state, checkpoint)
    info = loaded.info
    of_author = info.class_names if is_factory(source.spec) else None
    count = classes or outputs or 0
    names = of_author or class_names_in(checkpoint, count)
    notes = [*found.notes(), "" if names or not count else unused_names(checkpoint, count)]
    if said := said_otherwise(checkpoint, source.spec):
        notes.append(
            f"The file says that its weights are of {said}. They fit {source.spec} too, which may compute something "
            f"else with them: explain {said}."
        )
    info = dataclasses.replace(
        info,
        class_names=names or info.class_names,
        of_weights=tuple(note for note in notes if note),
        untrained=False,
    )
    return Loaded(loaded.model, info)


class _FixedHeadError(ModelError):
    """A model was to have another number of outputs than it comes with."""


@dataclass(frozen=True)
class _Source:
    """What a model is built from.

    Attributes:
        spec: see `load_model`.
        pretrained: whether it comes with its own weights.
        trust: whether its files may run code.
    """

    spec: str
    pretrained: bool
    trust: bool

    def build(self, classes: int | None) -> Loaded:
        """Build it.

        Args:
            classes: how many outputs it is to have; None for as many as it has by itself.

        Raises:
            ModelError, MissingExtraError: see `load_model`.
        """
        spec = self.spec
        library = _named(spec)
        if library is not None:
            return self._by_name(library, spec.partition(":")[2], classes)
        if is_factory(spec):
            made = from_file(spec, classes=classes)
            model, info = recognise(unwrapped(made), wrapper=made)
            if classes is not None and outputs_of(model) not in (classes, None):
                raise _FixedHeadError(
                    f"{spec} made a model of another head than {classes} outputs (num_classes, --num-classes). Let the "
                    "function take that: def build(num_classes): …"
                )
            return Loaded(model, _presumed(info, spec))
        if classes is not None:
            raise _FixedHeadError(_fixed_head(spec))
        if training_runs.is_run(spec):
            return Loaded(*training_runs.open_run(spec, trained=self.pretrained))
        if ":" not in spec and Path(spec).is_file() and may_be_pickled(Path(spec)):
            model, info = open_pickled(Path(spec), trust=self.trust)
            return Loaded(model, _presumed(info, spec))
        raise ModelError(_unknown(spec, spec.partition(":")[0]))

    def _by_name(self, library: Library, name: str, classes: int | None) -> Loaded:
        home = library.load()
        if not hasattr(home, "create"):
            raise ModelError(f"{library.home} makes no models by name: it has no function create.")
        options: dict[str, Any] = {"trust_pickle": self.trust} if library.reads_files else {}
        if classes is not None:
            if "classes" not in inspect.signature(home.create).parameters:
                raise _FixedHeadError(_fixed_head(self.spec))
            options["classes"] = classes
        model, info = home.create(name, pretrained=self.pretrained, **options)
        # of a FILE.py it is not known: its factory may have loaded weights
        missing = self.pretrained and info.untrained
        return Loaded(
            model, dataclasses.replace(info, untrained=missing or not self.pretrained or classes is not None)
        )


def _named(spec: str) -> Library | None:
    """The library that a name is of; None if it is of none."""
    kind, colon, name = spec.partition(":")
    fitting = (
        one for one in libraries() if one.scheme == kind and bool(one.wanted) == bool(name) == bool(colon)
    )
    return next(fitting, None)


def _fixed_head(spec: str) -> str:
    return (
        f"{spec} has the outputs that it was saved with: num_classes (--num-classes) is for models whose head is made "
        "anew, demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER, or FILE.py:FACTORY of a function that takes "
        "num_classes."
    )


_READERS = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".hdf5": "keras"}
"""By the suffix of a model's file, the library that reads it."""


def _unknown(spec: str, kind: str) -> str:
    named = [library for library in libraries() if library.scheme]
    path, suffix = Path(spec), Path(spec).suffix
    if kind == spec and (told := what_it_is(path, no="pytorch")):
        return told
    reader = _READERS.get(suffix)
    if reader is not None and kind == spec:
        return f"{spec!r} names no model. A file is named with what reads it: '{reader}:{spec}'."
    weights = suffix in WEIGHTS and kind == spec and not training_runs.is_run(path.parent)
    if not weights and (told := training_runs.why_no_run(spec)):
        return told
    if weights:
        there = "" if path.exists() else f" There is no file {spec} either.{nearest_file(path)}"
        return (
            f"{spec!r} names no model.{there} Such a file holds weights, which go with the model they are of: "
            f"--model timm:NAME --weights {spec} (weights={spec!r} in Python), or --model FILE.py:FACTORY."
        )
    first, *_, last = re.split(r"[./]", spec) if re.search(r"[./]", spec) else (spec, "")
    bare = f" Perhaps 'timm:{spec}' or 'torchvision:{spec}'?" if spec.isidentifier() else ""
    if last and first in [library.scheme for library in named]:
        return f"{spec!r} names no model. Perhaps '{first}:{last}'?"
    written = [*(library.written for library in named), "FILE.py:FACTORY", "runs/NAME"]
    return (
        f"{spec!r} names no model.{nearest(kind, [library.scheme for library in named]) or bare} "
        f"A model is one of: {', '.join(written)}."
    )


def _presumed(info: ModelInfo, spec: str) -> ModelInfo:
    if info.preprocessing is not None or info.texts is not None or info.prepare is not None:
        return info
    return dataclasses.replace(
        info,
        preprocessing=dataclasses.replace(IMAGENET, source="ImageNet standard (presumed)"),
        note=f"{spec} does not say how its photos are prepared; ImageNet's standard was presumed (resize 256, "
        "crop 224, its mean and std). "
        + either(
            "Give the model an attribute: model.preprocessing = camscope.Preprocessing(…).",
            "Say it: --preprocessing.",
        ),
    )
