"""Explainer and explain(): from a model and an input to an explanation."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.composition import (
    Expression,
    Setting,
    alters_input,
    by_level,
    check,
    list_methods,
    parse,
    simplified,
)
from camscope.concepts import Concepts, found_in, labels
from camscope.errors import InputError, LayerError, MethodError, ModelError, TargetError
from camscope.evidence import OF_INPUTS, Need
from camscope.explanation import Explanation, MethodFacts
from camscope.images import Preprocessing
from camscope.inputs import Inputs, prepare
from camscope.layer_choice import Chosen, Layers, check_reach, check_token_layers, choose_layers
from camscope.lengths import Rows, joined, of_one_length, targets_of_part, views_of_part
from camscope.libraries import recognise, text_reader
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.layers import Layer
from camscope.models.reading import Plain, Reading
from camscope.notes import Notes
from camscope.planner import Planner
from camscope.resample import trimmed
from camscope.targets import (
    AllClasses,
    Outputs,
    Targets,
    TargetsLike,
    Task,
    asks_for_classes,
    captions_of,
    detached,
    embeddings,
    resolve,
)

_ANY_CAPTION = "a photo"
"""For what does not depend on the caption."""

_ANY_TEXT = "the quick brown fox jumps over the lazy dog"
"""For what does not depend on the text."""

_DFF = "Collins, Achanta & Süsstrunk, ECCV 2018, arXiv:1806.10206"


class Explainer:
    """Explains one model, as often as you like. Nothing about the model is changed, by anything.

        explainer = camscope.Explainer(model)
        e = explainer(x, methods=["gradcam", "layercam"], targets=[281, 285], layers=["layer3", "layer4"])

    Args:
        model: a `torch.nn.Module` (DataParallel, DDP and compiled wrappers are looked through), a Hugging Face model
            or pipeline, a fastai `Learner`, or a name: `demo`, `timm:NAME`, `torchvision:NAME`,
            `hf:NAME-OR-FOLDER`, `FILE.py:FACTORY`.
        preprocessing: how photos become the model's input: a `Preprocessing`, torchvision transforms, or a Hugging
            Face image processor. By default what the model's library says of it. Not used for tensors.
        tokenizer: how texts become token numbers: a Hugging Face tokenizer, a dictionary word → number (or a
            `camscope.Vocabulary`), or a function from a text to a list of (token, number). By default the one that
            comes with a Hugging Face pipeline or lies beside the model's weights. Of a model that compares images with
            captions: what reads those.
        class_names: one per output. By default what the model's library says.
        task: what the outputs mean: `multiclass` (softmax), `multilabel` (a sigmoid each), `binary` (one logit),
            `regression`. Found from the model if None: one output is binary, a sigmoid at the end is
            multilabel, else multiclass. A multi-label model that returns logits looks like any other: say it.
        output: where the logits, `batch class`, are in what the model returns: a key, a position, or a function.
        device: move the model there first. Only for models given by name; your own stays where it is.
        optimised: explain on a copy of the model made for inference (batch norm folded, channels last): `True`,
            or `"bfloat16"` to run it in half precision too. See `camscope.models.torch.optimise`.
        weights: a file, for models given by name; see `camscope.models.load.load_model`.
        trust_pickle: read a weights file that can run code.

    Raises:
        ModelError: if the model cannot be loaded or hooked.
    """

    def __init__(
        self,
        model: Any,
        *,
        preprocessing: Any = None,
        class_names: Sequence[str] | None = None,
        task: Task | None = None,
        output: Callable[[Any], Any] | str | int | None = None,
        device: str | None = None,
        optimised: bool | str = False,
        weights: str | Path | None = None,
        trust_pickle: bool = False,
        tokenizer: Any = None,
    ) -> None:
        if isinstance(model, str):
            from camscope.models.load import load_model

            loaded = load_model(model, weights=weights, trust_pickle=trust_pickle)
            model, known = loaded.model, loaded.known
            if device is not None:
                model = _moved(model, device)
        else:
            if device is not None or weights is not None:
                raise ModelError("device and weights are for models given by name; yours comes with both.")
            model, known = recognise(_unwrapped(model))
        reading: Reading = Plain(output, known.task)
        if output is None and known.captioned is not None:
            reading = known.captioned(tokenizer)
        elif output is None and known.reading is not None:
            reading = known.reading
        elif isinstance(known.reading, Plain):
            reading = type(known.reading)(output, known.task)
        self._adapter = _adapt(model, reading, task=task, optimised=optimised)
        if preprocessing is not None:
            known = dataclasses.replace(known, preprocessing=_as_preprocessing(preprocessing), note="")
        if tokenizer is not None and known.captioned is None:
            known = dataclasses.replace(known, texts=text_reader(tokenizer, model))
        self._known = known
        self._class_names = class_names

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become the model's input, or None if that is not known."""
        return self._known.preprocessing

    @property
    def default_method(self) -> str:
        """What is run where no method is asked for: Grad-CAM; HiResCAM for a detector, whose instances have a place."""
        return self._known.default_method

    @property
    def keeps_sizes(self) -> bool:
        """Whether photos keep their own sizes, so that only those of one size can be explained together."""
        return self._known.keeps_sizes

    @property
    def reads_texts(self) -> bool:
        """Whether strings are texts for this model, and not the names of photos."""
        return self._known.texts is not None

    def __call__(
        self,
        inputs: Any,
        *,
        methods: str | Expression | Sequence[str | Expression] | None = None,
        targets: TargetsLike = None,
        layers: Layers = None,
        channels: int = 0,
        seed: int = 0,
        mapped: int | str | None = None,
    ) -> Explanation:
        """Explain a batch: all methods, layers and targets from one forward and one short backward per target.

        Args:
            inputs: a tensor, already preprocessed, `batch channel *space`; or a photo (path, PIL image, array
                `height width [channel]`) or a list of photos, which go through the model's own preprocessing. For a
                model that takes several inputs: a tuple of them, or a dictionary by keyword; arrays with as many rows
                as the batch belong to its images, row by row, all others to every image. For a model that reads
                texts: a text or a list of texts, which go through its tokenizer, or token numbers `batch token` (with
                an `attention_mask` by keyword where they are padded).
            methods: one or several; see `camscope.list_methods()`. None takes `default_method`. Names, with parameters
                and compositions if you like (`scorecam(top=64)`, `smooth(layercam, n=16)`), or objects
                (`camscope.Smooth("layercam", n=16)`).
            targets: None explains each image's top class. A list means these targets for every image;
                `PerImage([...])` gives one, or one list, per image. See `camscope.targets.resolve`.
            layers: names or modules; None takes the deepest layer whose positions reach the score.
            channels: keep this many of the feature maps that contribute most to each target, for
                `figure(by="channels")`.
            seed: for methods that draw at random.
            mapped: which of several inputs the maps are of, by position or keyword. By default the first photo, or
                the first floating-point tensor with a channel and space.

        Raises:
            InputError, LayerError, MethodError, TargetError: what was asked for does not exist or cannot be had;
                the message names the nearest that can.
        """
        asked_for = self.default_method if methods is None else methods
        wanted = {e.name: e for e in (parse(m) for m in _listed(asked_for))}
        if not wanted:
            raise MethodError("The list of methods is empty.")
        plain = {name: simplified(e) for name, e in wanted.items()}
        for name, e in plain.items():
            check(e)
            self._check_offers(name, e)
        notes = Notes()
        given = prepare(inputs, self._known, mapped)
        batch = self._adapter.batch(given.batch)
        if given.preprocessing is None and self.preprocessing is not None and not self._known.note:
            notes.of_tensor(batch.x, self.preprocessing)
        if self._known.values is not None:
            notes.of_values(batch.x, self._known.values)
        captions: tuple[str, ...] = ()
        if self._known.captioned is not None:
            captions = self._captions(targets, notes)
            batch = self._adapter.captioned(batch, captions)
        if layers is None and not given.views.texts and self._adapter.levels(batch):
            plain = {name: by_level(e) for name, e in plain.items()}
        asked = _Asked(wanted, plain, layers, channels, seed, captions)
        if given.views.texts:
            explanation = self._each_length(batch, given, asked, targets, notes)
        else:
            self._adapter.check(batch, asked.needs)
            chosen, how = choose_layers(self._adapter, batch, layers, list(plain.values()), channels)
            explanation = self._explained(batch, given, asked, targets, notes, chosen, how)
        notes.warn()
        return explanation

    def _each_length(
        self, batch: Batch, given: Inputs, asked: _Asked, targets: TargetsLike, notes: Notes
    ) -> Explanation:
        """Explain texts, those of one length together. The layers are chosen on the longest."""
        for name, e in asked.plain.items():
            _check_tokens(name, e)
        texts, expressions = given.views.texts, list(asked.plain.values())
        parts: list[tuple[Rows, Explanation]] = []
        chosen: Chosen | None = None
        how: dict[str, Any] = {}
        for rows, part in of_one_length(batch, texts):
            self._adapter.check(part, asked.needs)
            if chosen is None:
                chosen, how = choose_layers(self._adapter, part, asked.layers, expressions, asked.channels)
                check_token_layers(self._adapter, part, asked.layers, expressions, chosen)
            here = dataclasses.replace(given, batch=part, views=views_of_part(texts, rows))
            theirs = targets_of_part(targets, rows, len(texts))
            at = chosen.at(functools.partial(self._adapter.layer, part))
            parts.append((rows, self._explained(part, here, asked, theirs, notes, at, how)))
        for note in given.notes:
            notes.add(note)
        whole = joined(parts, given.views, batch.space[0])
        return dataclasses.replace(whole, notes=notes.all)

    def _explained(
        self,
        batch: Batch,
        given: Inputs,
        asked: _Asked,
        targets: TargetsLike,
        notes: Notes,
        chosen: Chosen,
        how: dict[str, Any],
    ) -> Explanation:
        """Explain a batch of inputs of one size at the layers that are chosen."""
        wanted, plain, captions = asked.wanted, asked.plain, asked.captions

        def names(outputs: Outputs) -> Sequence[str] | None:
            return captions or self._names(outputs.logits.shape[1], notes)

        def ask(outputs: Outputs) -> Targets:
            return resolve(targets, outputs, names(outputs))

        planner = Planner(self._adapter, Setting(asked.seed, self._black(given.preprocessing)), notes)
        requests = [(e, chosen.of(e)) for e in plain.values()]
        found = planner.run(batch, requests, ask, asked.channels, chosen.single)
        outputs, resolved = found.asked.outputs, found.asked.targets
        class_names = names(outputs)
        gradient_free = {
            (name, layer): flags
            for name, e in plain.items()
            for layer, flags in found.gathered.gradient_free(e).items()
            if layer in found.maps[e]
        }
        check_reach(self._adapter, batch, asked.layers, chosen, found.flat)

        for note in (*found.notes, self._known.note if given.preprocessing else ""):
            notes.add(note)
        if found.asked.levels is not None and chosen.levels:
            how = {**how, "level_of_target": _level_names(found.asked.levels, chosen.levels)}
        return Explanation(
            raw={
                (name, layer): _for_each_target(_of_input(maps, batch, found.covered), len(resolved))
                for name, e in plain.items()
                for layer, maps in found.maps[e].items()
            },
            scores=found.scores,
            logits=outputs.logits,
            probabilities=outputs.probabilities,
            targets=resolved.infos(class_names),
            input_size=batch.space,
            facts={name: MethodFacts(e.paper, e.rectified, e.class_specific) for name, e in wanted.items()},
            class_names=class_names,
            views=given.views,
            provenance={
                **self._provenance(given, outputs, how, asked.seed),
                "methods": {name: e.paper for name, e in wanted.items()},
                "compositions": {name: plain[name].name for name in wanted if plain[name].name != name},
            },
            notes=notes.all,
            channels=found.gathered.channels_joined(),
            gradient_free=gradient_free,
        )

    def concepts(
        self,
        inputs: Any,
        *,
        count: int = 4,
        layer: Any = None,
        steps: int = 500,
        seed: int = 0,
    ) -> Concepts:
        """The few concepts a layer's activations on a batch are made of. See `camscope.concepts.Concepts`.

        Args:
            inputs: as for a call; the more images show the same things, the clearer the concepts.
            count: how many concepts.
            layer: a name or module; None takes the automatic choice. Its negative activations count as zero.
            steps: of the factorisation, at most.
            seed: of its random start.

        Raises:
            MethodError: if the layer has no positive activations, or fewer channels or positions than concepts.
            InputError, LayerError: as for a call.
        """
        given = prepare(inputs, self._known)
        batch = self._batch(given)
        if given.views.texts:
            (_, batch), *others = of_one_length(batch, given.views.texts)
            if others:
                raise InputError(
                    "Concepts are found in what a layer puts out for all texts, so they must be of one length; "
                    "these are not."
                )
        chosen, how = choose_layers(self._adapter, batch, layer, [], channels=1)
        notes = Notes()
        needs = frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD})
        with self._adapter.observe(batch, {chosen.single[0]: needs}) as seen:
            outputs = seen.outputs
            everything = resolve(AllClasses(), outputs)
            ((name, _, evidence),) = seen.evidence(everything, {chosen.single[0]: needs}, seed)
            heatmaps, vectors, class_scores = found_in(evidence, count, steps=steps, seed=seed)
        if class_scores is None:
            notes.add(
                f"The head behind {name!r} is not one linear layer, so the concepts have no class of their own."
            )
        class_names = self._names(outputs.logits.shape[1], notes)
        xp = array_namespace(heatmaps)
        explanation = Explanation(
            raw={("dff", name): heatmaps},
            scores=xp.mean(heatmaps, axis=tuple(range(2, heatmaps.ndim))),
            logits=outputs.logits,
            probabilities=outputs.probabilities,
            targets=(labels(count, class_scores, class_names),) * len(batch),
            input_size=batch.space,
            facts={"dff": MethodFacts(_DFF, rectified=False, class_specific=False)},
            class_names=class_names,
            views=given.views,
            provenance={
                **self._provenance(given, outputs, how, seed),
                "methods": {"dff": _DFF},
                "compositions": {},
            },
            notes=notes.all,
        )
        notes.warn()
        return Concepts(explanation, vectors, class_scores)

    def embed(self, inputs: Any) -> Float[Array, "batch feature"]:
        """Each image's embedding, for `Similarity`: what a model compares with captions, or its output itself.

        Args:
            inputs: as for a call.

        Raises:
            InputError: as for a call.
        """
        given = prepare(inputs, self._known)
        batch = self._batch(given)
        parts = (
            of_one_length(batch, given.views.texts) if given.views.texts else [(np.arange(len(batch)), batch)]
        )
        found: list[Array] = [None] * len(batch)
        for rows, part in parts:
            with self._adapter.observe(part, {}) as seen:
                vectors = detached(embeddings(seen.outputs))
                for row, vector in zip(rows.tolist(), vectors, strict=True):
                    found[row] = vector
        return array_namespace(found[0]).stack(found)

    def layers(self, inputs: Any = None, *, every: bool = False) -> tuple[list[Layer], Layer | None]:
        """The layers with a grid, in the order they run, whether they reach the score, and the one that is chosen.

        Args:
            inputs: as for a call; None runs an image of noise of the model's own input size, or some text.
            every: also the layers inside blocks.

        Returns:
            The layers, each tried, and the automatic choice (None if none reaches the score).

        Raises:
            InputError: if no input is given and the model's input size is not known.
            LayerError: if no layer has a grid.
        """
        if inputs is None:
            inputs = _ANY_TEXT if self._known.texts is not None else self._noise()
        given = prepare(inputs, self._known)
        batch = self._batch(given)
        if given.views.texts:
            _, batch = of_one_length(batch, given.views.texts)[0]
        found = list(self._adapter.layers(batch))
        chosen = None
        try:
            chosen = self._adapter.choose(batch)[0]
        except LayerError:
            if not found:
                raise
        if chosen is not None and chosen.after_relu:
            # a layer that is no module stands behind the one it belongs to
            place = next(i for i, layer in enumerate(found) if layer.name == chosen.module)
            found.insert(place + 1, chosen)
        shown = [layer for layer in found if every or layer.outline or (chosen and layer.name == chosen.name)]
        reach = self._adapter.reaches(batch, shown)
        return [dataclasses.replace(layer, reaches=r) for layer, r in zip(shown, reach, strict=True)], chosen

    def _provenance(self, given: Inputs, outputs: Outputs, how: dict[str, Any], seed: int) -> dict[str, Any]:
        return {
            "camscope": _version(),
            "model_name": self._known.name,
            **self._adapter.describe(),
            "task": outputs.task,
            "layers": how,
            "preprocessing": given.preprocessing.to_dict() if given.preprocessing else None,
            **({"tokenizer": self._known.texts.name} if given.views.texts and self._known.texts else {}),
            "seed": seed,
        }

    # ------------------------------------------------------------------ inputs

    def _batch(self, given: Inputs) -> Batch:
        """The call, where it does not matter which captions a model compares images with."""
        batch = self._adapter.batch(given.batch)
        if self._known.captioned is None:
            return batch
        return self._adapter.captioned(batch, tuple(self._class_names or (_ANY_CAPTION,)))

    def _captions(self, targets: TargetsLike, notes: Notes) -> tuple[str, ...]:
        """All captions of a call: the class names, and what the targets name besides.

        Raises:
            TargetError: if there are none.
        """
        captions = tuple(captions_of(targets, tuple(self._class_names or ())))
        if not captions and not asks_for_classes(targets):
            return (_ANY_CAPTION,)
        if not captions:
            raise TargetError(
                "This model compares images with captions, and none was given. Pass targets=['a photo of a cat', 'a "
                "photo of a dog'], or Explainer(model, class_names=[…]) for captions that are always there."
            )
        if len(captions) == 1:
            notes.add(
                f"{captions[0]!r} is the only caption, so it is compared with nothing: the map is of its similarity, "
                "and where captions compete its probability is 1. Name others to compare it with."
            )
        return captions

    def _noise(self) -> Any:
        """Something to run the model on where there is no input: a batch, or a photo for what the library prepares."""
        if self.preprocessing is None and self._known.prepare is not None:
            return np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        if self.preprocessing is None:
            raise InputError(
                "The model's input size is not known; give an input, for instance torch.randn(1, 3, 224, 224), or "
                "token numbers if it reads texts."
            )
        import torch

        shape = (1, len(self.preprocessing.mean), *self.preprocessing.input_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def _names(self, count: int, notes: Notes) -> Sequence[str] | None:
        if self._class_names is not None:
            if len(self._class_names) != count:
                one = (
                    " (a one-logit model has two classes: the negative and the positive)"
                    if count == 2
                    else ""
                )
                raise TargetError(
                    f"class_names holds {len(self._class_names)} names, the model has {count} classes{one}."
                )
            return self._class_names
        known = self._known.class_names
        if known is not None and len(known) != count:
            notes.add(
                f"The library's {len(known)} class names do not fit this model's {count} outputs and were left out."
            )
            return None
        return known

    # ------------------------------------------------------------------ methods

    def _check_offers(self, name: str, e: Expression) -> None:
        lacking = e.method.needs - self._adapter.offers
        if lacking:
            able = [m.name for m in list_methods() if not m.needs - self._adapter.offers]
            words = ", ".join(sorted(need.value for need in lacking))
            raise MethodError(
                f"This model cannot give {words}, which {name} needs. These would work: {', '.join(able)}."
            )

    def _black(self, preprocessing: Preprocessing | None) -> list[float] | None:
        known = preprocessing or self.preprocessing
        return None if known is None else [-m / s for m, s in zip(known.mean, known.std, strict=True)]


def explain(
    model: Any,
    inputs: Any,
    *,
    methods: str | Expression | Sequence[str | Expression] | None = None,
    targets: TargetsLike = None,
    layers: Layers = None,
    channels: int = 0,
    seed: int = 0,
    mapped: int | str | None = None,
    **model_options: Any,
) -> Explanation:
    """Explain once: `Explainer(model, **model_options)(inputs, …)`.

    camscope.explain(model, x)                    # Grad-CAM, top class, automatic layer
    camscope.explain("demo", "photo.jpg")         # names and paths too
    camscope.explain("hf:FOLDER", "a film I loved").words()

    Args:
        model: a module or a name, see `Explainer`.
        inputs: a preprocessed tensor, a photo, or a list of photos; of a model that reads texts a text, a list of
            texts, or token numbers.
        methods: see `camscope.list_methods()`; None for Grad-CAM (of a detector: HiResCAM).
        targets: None for each image's top class.
        layers: None for the automatic choice.
        channels: how many of the strongest feature maps to keep.
        seed: for methods that draw at random.
        mapped: which of several inputs the maps are of.
        model_options: of `Explainer`.
    """
    explainer = Explainer(model, **model_options)
    return explainer(
        inputs,
        methods=methods,
        targets=targets,
        layers=layers,
        channels=channels,
        seed=seed,
        mapped=mapped,
    )


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is asked for, whatever the inputs: methods as they were written and simplified, layers, and the rest."""

    wanted: Mapping[str, Expression]
    plain: Mapping[str, Expression]
    layers: Layers
    channels: int
    seed: int
    captions: tuple[str, ...]

    @property
    def needs(self) -> frozenset[Need]:
        """Of all methods together."""
        return frozenset[Need]().union(*(e.method.needs for e in self.plain.values()))


def _check_tokens(name: str, e: Expression) -> None:
    """Refuse what alters the input, or differentiates by it: there is nothing between two token numbers.

    Raises:
        MethodError: naming what works.
    """
    lacking = e.method.needs & OF_INPUTS
    if not lacking and not alters_input(e):
        return
    able = [
        m.name
        for m in list_methods()
        if not m.method.needs & OF_INPUTS and not m.method.baseline and not alters_input(simplified(m))
    ]
    what = ", ".join(sorted(need.value for need in lacking)) or "altered inputs"
    raise MethodError(
        f"{name} needs {what}, and this input is token numbers: nothing lies between two tokens, so they can be "
        f"neither altered a little nor differentiated by. These work on texts: {', '.join(able)} (attention methods "
        "where tokens attend to one another); fused, finer, rest and balanced too."
    )


def _of_input(maps: Array, batch: Batch, covered: tuple[float, ...] | None) -> Array:
    """Maps at a layer's resolution without what the model has padded its input by."""
    return maps if covered is None or tuple(maps.shape[2:]) == batch.space else trimmed(maps, covered)


def _level_names(levels: Int[np.ndarray, "batch target"], layers: Sequence[Layer]) -> list[list[str | None]]:
    return [[layers[level].name if level >= 0 else None for level in row] for row in levels.tolist()]


def _for_each_target(maps: Array, targets: int) -> Array:
    if maps.shape[1] == targets:
        return maps
    return array_namespace(maps).broadcast_to(maps, (maps.shape[0], targets, *maps.shape[2:]))


@functools.cache
def _version() -> str:
    return importlib.metadata.version("camscope")


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _as_preprocessing(given: Any) -> Preprocessing:
    if isinstance(given, Preprocessing):
        return given
    if hasattr(given, "to_dict"):
        return Preprocessing.from_huggingface(given)
    return Preprocessing.from_torchvision(given)


def _adapt(model: Any, reading: Reading, *, task: Task | None, optimised: bool | str) -> Adapter:
    """The adapter of the model's framework, which is imported only if the model shows that it already is."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from camscope.models.torch import TorchAdapter

        if optimised:
            from camscope.models.torch.optimise import OptimisedAdapter

            return OptimisedAdapter(model, reading, task=task, half=optimised == "bfloat16")
        return TorchAdapter(model, reading, task=task)
    raise ModelError(
        f"Cannot explain a {type(model).__name__}: expected a torch.nn.Module, or a name such as 'demo', "
        "'timm:resnet50', 'torchvision:resnet50' or 'FILE.py:FACTORY'."
    )


def _unwrapped(model: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from camscope.models.torch.modules import unwrap

        return unwrap(model)
    return model


def _moved(model: Any, device: str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The model cannot be moved to {device!r}: {str(error).splitlines()[0]}") from error
