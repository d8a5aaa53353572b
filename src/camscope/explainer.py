"""Explainer and explain(): from a model and an input to an explanation."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from array_api_compat import array_namespace

from camscope.arrays import Array
from camscope.composition import Expression, Setting, check, fuses, list_methods, parse, simplified
from camscope.concepts import Concepts, found_in, labels
from camscope.errors import InputError, LayerError, MethodError, ModelError, TargetError
from camscope.evidence import Need
from camscope.explanation import Explanation, MethodFacts
from camscope.images import Preprocessing
from camscope.inputs import Inputs, prepare
from camscope.libraries import recognise
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.layers import Layer
from camscope.models.reading import Plain, Reading
from camscope.notes import Notes
from camscope.planner import Planner
from camscope.targets import AllClasses, Outputs, Targets, TargetsLike, Task, resolve

_DFF = "Collins, Achanta & Süsstrunk, ECCV 2018, arXiv:1806.10206"

Layers: TypeAlias = "str | Any | Sequence[str | Any] | None"


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
        reading = known.reading if output is None and known.reading is not None else Plain(output, known.task)
        self._adapter = _adapt(model, reading, task=task, optimised=optimised)
        if preprocessing is not None:
            known = dataclasses.replace(known, preprocessing=_as_preprocessing(preprocessing), note="")
        self._known = known
        self._class_names = class_names

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become the model's input, or None if that is not known."""
        return self._known.preprocessing

    def __call__(
        self,
        inputs: Any,
        *,
        methods: str | Expression | Sequence[str | Expression] = "gradcam",
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
                model that takes several inputs: a tuple of them, or a dictionary by keyword.
            methods: one or several; see `camscope.list_methods()`. Names, with parameters and compositions if you
                like (`scorecam(top=64)`, `smooth(layercam, n=16)`), or objects (`camscope.Smooth("layercam", n=16)`).
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
        wanted = {e.name: e for e in (parse(m) for m in _listed(methods))}
        if not wanted:
            raise MethodError("The list of methods is empty.")
        plain = {name: simplified(e) for name, e in wanted.items()}
        for name, e in plain.items():
            check(e)
            self._check_offers(name, e)
        given = prepare(inputs, self._known, mapped)
        batch = self._adapter.batch(given.batch)
        self._adapter.check(batch, frozenset[Need]().union(*(e.method.needs for e in plain.values())))
        chosen, how = self._layers(batch, layers, list(plain.values()), channels)
        notes = Notes()

        def ask(outputs: Outputs) -> Targets:
            return resolve(targets, outputs, self._names(outputs.logits.shape[1], notes))

        planner = Planner(self._adapter, Setting(seed, self._black(given.preprocessing)), notes)
        requests = [(e, chosen.of(e)) for e in plain.values()]
        found = planner.run(batch, requests, ask, channels, chosen.single)
        outputs, resolved = found.asked.outputs, found.asked.targets
        class_names = self._names(outputs.logits.shape[1], notes)
        gradient_free = {
            (name, layer): flags
            for name, e in plain.items()
            for layer, flags in found.gathered.gradient_free(e).items()
            if layer in found.maps[e]
        }
        self._check_reach(batch, chosen, found.flat, layers)

        for note in (*found.notes, self._known.note if given.preprocessing else ""):
            notes.add(note)
        explanation = Explanation(
            raw={
                (name, layer): _for_each_target(maps, len(resolved))
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
                **self._provenance(given, outputs, how, seed),
                "methods": {name: e.paper for name, e in wanted.items()},
                "compositions": {name: plain[name].name for name in wanted if plain[name].name != name},
            },
            notes=notes.all,
            channels=found.gathered.channels_joined(),
            gradient_free=gradient_free,
        )
        notes.warn()
        return explanation

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
        batch = self._adapter.batch(given.batch)
        chosen, how = self._layers(batch, layer, [], channels=1)
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

    def layers(self, inputs: Any = None, *, every: bool = False) -> tuple[list[Layer], Layer | None]:
        """The layers with a grid, in the order they run, whether they reach the score, and the one that is chosen.

        Args:
            inputs: as for a call; None runs an image of noise of the model's own input size.
            every: also the layers inside blocks.

        Returns:
            The layers, each tried, and the automatic choice (None if none reaches the score).

        Raises:
            InputError: if no input is given and the model's input size is not known.
            LayerError: if no layer has a grid.
        """
        if inputs is None:
            inputs = self._noise()
        batch = self._adapter.batch(prepare(inputs, self._known).batch)
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
            "seed": seed,
        }

    # ------------------------------------------------------------------ inputs

    def _noise(self) -> Array:
        if self.preprocessing is None:
            raise InputError(
                "The model's input size is not known; give an input, for instance torch.randn(1, 3, 224, 224)."
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

    # ------------------------------------------------------------------ layers and methods

    def _layers(
        self, batch: Batch, layers: Layers, wanted: Sequence[Expression], channels: int
    ) -> tuple[_Chosen, dict[str, Any]]:
        """Where the methods are wanted, and how that came about."""
        if layers is None:
            single: list[Layer] = []
            fused: list[Layer] = []
            how: dict[str, Any] = {"chosen": "automatic"}
            if channels or any(e.method.scope == "layer" and not fuses(e) for e in wanted):
                choice = self._adapter.choose(batch)
                single = [choice[0]]
                how["choice"] = choice[0].name
                how["runners_up"] = [layer.name for layer in choice[1:]]
            if any(fuses(e) for e in wanted):
                fused = list(self._adapter.stages(batch))
        else:
            given = _listed(layers)
            if not given:
                raise LayerError("The list of layers is empty. Leave it out to have one chosen.")
            single = list(
                {layer.name: layer for layer in (self._adapter.layer(batch, x) for x in given)}.values()
            )
            order = {layer.name: place for place, layer in enumerate(self._adapter.layers(batch))}
            fused = sorted(single, key=lambda layer: order[layer.module])
            how = {"chosen": "by name"}
        if len(fused) < 2 and (fusions := [e.name for e in wanted if fuses(e)]):
            stages = [layer.name for layer in self._adapter.stages(batch)]
            advice = (
                f"layers={stages}"
                if len(stages) > 1
                else "this model has one stage, so name layers inside it"
            )
            raise LayerError(
                f"{fusions[0]} needs the maps of several layers, and there is {'one' if fused else 'none'}. Name some: "
                f"{advice}."
            )
        described = {
            layer.name: f"{layer.kind}, {layer.grid.channels} channels, {layer.grid.describe()}"
            for layer in dict.fromkeys([*single, *fused])
        }
        if layers is None and fused:
            how["fused"] = [layer.name for layer in fused]
        return _Chosen(tuple(single), tuple(fused)), {**how, "layers": described}

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

    def _check_reach(self, batch: Batch, chosen: _Chosen, flat: frozenset[str], layers: Layers) -> None:
        """Refuse a layer that no class could ever give a map; only looked into where maps came out flat."""
        for layer in dict.fromkeys([*chosen.single, *chosen.fused]):
            if layer.name in flat and not all(self._adapter.reaches(batch, [layer])):
                better = self._adapter.choose(batch)[0]
                raise LayerError(
                    f"The positions of {layer.name!r} do not reach the score: its gradient there is exactly zero for "
                    f"every class (behind it, only a class token is used, say). Use {better.name!r}"
                    f"{' or leave the layer out' if layers is not None else ''}."
                )


def explain(
    model: Any,
    inputs: Any,
    *,
    methods: str | Expression | Sequence[str | Expression] = "gradcam",
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

    Args:
        model: a module or a name, see `Explainer`.
        inputs: a preprocessed tensor, a photo, or a list of photos.
        methods: see `camscope.list_methods()`.
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
class _Chosen:
    """The layers of methods that take one, and of fusions, in the order they run."""

    single: tuple[Layer, ...]
    fused: tuple[Layer, ...]

    def of(self, e: Expression) -> tuple[Layer, ...]:
        if e.method.scope == "model":
            return ()
        return self.fused if fuses(e) else self.single


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
