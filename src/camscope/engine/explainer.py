"""Explainer and explain(): from a model and an input to an explanation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, detached
from camscope.composition import Setting
from camscope.engine.call import MethodsLike, read_call
from camscope.engine.concept_search import find_concepts
from camscope.engine.explaining import Explaining
from camscope.engine.layer_choice import Layers
from camscope.engine.length_buckets import length_buckets
from camscope.engine.model import open_model
from camscope.engine.offering import Offer, Trial
from camscope.errors import InputError, LayerError
from camscope.images import Preprocessing
from camscope.inputs import Inputs
from camscope.methods import default_method
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.said_grid import SaidGrid
from camscope.outputs import Task, embeddings
from camscope.results import Concepts, Explanation
from camscope.targets import TargetsLike


class Explainer:
    """Explains one model, as often as you like. Nothing about the model is changed, by anything.

        explainer = camscope.Explainer(model)
        e = explainer(x, methods=["gradcam", "layercam"], targets=[281, 285], layers=["layer3", "layer4"])

    It may be called from several threads (`asyncio.to_thread`): one call at a time has the model, whichever Explainer
    it is of, and the others are served in the order they came. Your own forwards do not wait. While a call runs, the
    model is in eval mode with frozen parameters for every thread: a training step of another thread then goes wrong
    (no gradients, no batch-norm statistics), and torch's random state, which all threads share, is set back at the
    end. A forward of another thread that is noticed ends the call with a ModelError; nothing notices one that meets
    neither the model itself nor a layer in use, nor other changes of flags or weights. So hold one lock around your
    own forwards and the calls, or explain a copy.

    Args:
        model: a `torch.nn.Module` (wrappers of DataParallel, DDP and torch.compile are taken off), a Hugging Face
            model or pipeline, a fastai `Learner`, or a name: `demo`, `timm:NAME`, `torchvision:NAME`,
            `hf:NAME-OR-FOLDER`, `FILE.py:FACTORY`, the folder of a training run; or a file with a whole pickled model,
            if `trust_pickle` is set.
        preprocessing: how photos become the model's input: a `Preprocessing`, torchvision transforms, a Hugging Face
            image processor, or a name: `0-1`, `-1-1`, `0-255`, `imagenet`, `keras:resnet50`, `FILE.json` (see
            `camscope.libraries.named_preprocessing`). By default what the model's library says. Not used for tensors.
        class_names: one per output. By default what the model's library says.
        task: what the outputs mean: `multiclass` (softmax), `multilabel` (a sigmoid each), `binary` (one logit) or
            `regression`. None finds it from the model: one output is binary, a sigmoid at the end is multilabel,
            anything else is multiclass. A multi-label model that returns logits cannot be told from a multiclass one,
            so say it.
        output: where the logits, `batch class`, are in what the model returns: a key, a position, or a function.
        device: where to move the model first. Only for models given by name; your own stays where it is.
        optimised: explain on a copy of the model made for inference (batch norm folded, channels last): `True`,
            or `"bfloat16"` to run it in half precision too. See `camscope.models.torch.optimise`.
        weights: a file of weights, for models given by name; the head becomes as large as that in the file, and class
            names in it are used. See `camscope.libraries.loading.load_model`.
        trust_pickle: whether to read a file that can run code.
        num_classes: how many outputs a model that is given by name is to have, where no weights say it.
        tokenizer: how texts become token numbers: a Hugging Face tokenizer, a dictionary word → number (or a
            `camscope.Vocabulary`), or a function from a text to a list of (token, number). By default the one that
            comes with a Hugging Face pipeline or lies beside the model's weights. For a model that compares images
            with captions it reads the captions.
        space: which axes of a tensor are space, as `2` for signals `batch channel time`, `1` for `batch time
            feature`, `(1, 2)` for spectrograms without a channel; 0 is the batch. One at most of the other axes is
            the channel. By default all behind batch and channel, unless the layers answer to an altered patch along
            others; the notes say so then.
        grid: how layers that a call names hold their grid, where it is not found or found wrongly: its size, as
            `(14, 14)` (the layer's axes, or tokens row by row, up to 32 others in front); or a function that
            rearranges the layer's output to `(batch, channel, *space)`; or a dictionary of these by layer. It is
            taken as it is said, and not tried.

    Raises:
        InputError: if `task` or `optimised` is none of its values.
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
        num_classes: int | None = None,
        tokenizer: Any = None,
        space: int | Sequence[int] | None = None,
        grid: SaidGrid | None = None,
    ) -> None:
        self._model = open_model(
            model,
            preprocessing=preprocessing,
            class_names=class_names,
            task=task,
            output=output,
            device=device,
            optimised=optimised,
            weights=weights,
            trust_pickle=trust_pickle,
            num_classes=num_classes,
            tokenizer=tokenizer,
            space=space,
            grid=grid,
        )

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become the model's input, or None if that is not known."""
        return self._model.preprocessing

    @property
    def default_method(self) -> str:
        """The method that is run where none is named: Grad-CAM, or HiResCAM for a detector.

        For a model that gives no gradients it is the first method whose needs the model can meet.
        """
        explained = self._model.info.explained
        return default_method(self._model.adapter.offers, explained).name

    @property
    def keeps_sizes(self) -> bool:
        """Whether photos keep their own sizes, so that only those of one size can be explained together."""
        return self._model.info.keeps_sizes

    @property
    def reads_texts(self) -> bool:
        """Whether strings are texts for this model, and not the names of photos."""
        return self._model.info.texts is not None

    def __call__(
        self,
        inputs: Any,
        *,
        methods: MethodsLike = None,
        targets: TargetsLike = None,
        layers: Layers = None,
        channels: int = 0,
        seed: int = 0,
        explained_input: int | str | None = None,
    ) -> Explanation:
        """Explain a batch: all methods, layers and targets from one forward and one short backward per target.

        Args:
            inputs: a tensor, already preprocessed, `batch channel *space`; or a photo (path, PIL image, array
                `height width [channel]`) or a list of photos, which go through the model's own preprocessing. For a
                model that takes several inputs: a tuple of them, or a dictionary by keyword; arrays with as many rows
                as the batch belong to its images, row by row, all others to every image. For a model that reads
                texts: a text or a list of texts, which go through its tokenizer, or token numbers `batch token` (with
                an `attention_mask` by keyword where they are padded). Or what `prepare` gave.
            methods: one or several; see `camscope.list_methods()`. None takes `default_method`. Names, with parameters
                and compositions if you like (`scorecam(top=64)`, `smooth(layercam, n=16)`), or objects
                (`camscope.Smooth("layercam", n=16)`).
            targets: None explains each image's top class. A list means these targets for every image;
                `PerImage([...])` gives one, or one list, per image. See `camscope.targets.resolve`.
            layers: names or modules; None takes the deepest layer whose positions reach the score.
            channels: keep this many of the feature maps that contribute most to each target, for
                `figure(by="channels")`.
            seed: the seed of random draws.
            explained_input: which of several inputs the maps are of, by position or keyword. By default the first
                floating-point tensor with a channel and space, else the first photo, else the first token numbers.

        Raises:
            InputError, LayerError, MethodError, TargetError: what was asked for does not exist, or the model cannot
                give it; the message names the nearest that works.
            ModelError: another thread ran the model meanwhile.
        """
        with self._model.adapter.exclusive():
            model, notes = self._model, self._model.notes()
            call = read_call(
                methods,
                model.adapter.offers,
                explained=model.info.explained,
                layers=layers,
                channels=channels,
                seed=seed,
            )
            given, batch = model.prepared(inputs, explained_input)
            notes.of_inputs(batch.x, given.of_photos, model.info)
            captions = model.captions(targets, notes)
            if captions:
                batch = model.adapter.with_captions(batch, captions)
            notes.of_targets(targets, len(batch))
            texts = bool(given.input_images.texts)
            if layers is None and not texts and model.adapter.fpn_levels(batch):
                call = call.at_fpn_levels()
            explaining = Explaining(model, call, captions, notes)
            explanation = (explaining.texts if texts else explaining.pictures)(batch, given, targets)
            notes.warn()
            return explanation

    def prepare(self, inputs: Any, *, explained_input: int | str | None = None) -> Inputs:
        """Read and prepare inputs once, to be explained often: photos are preprocessed, texts are tokenised.

        Args:
            inputs: the same as for a call. A tensor is kept as it is, and not copied.
            explained_input: see `__call__`.

        Returns:
            What a call takes in place of the inputs.

        Raises:
            InputError, ImageError: as for a call.
        """
        with self._model.adapter.exclusive():
            return self._model.prepared(inputs, explained_input)[0]

    def concepts(
        self,
        inputs: Any,
        *,
        count: int = 4,
        layer: Any = None,
        steps: int = 500,
        seed: int = 0,
    ) -> Concepts:
        """The few concepts whose sum a layer's activations on a batch are. See `camscope.results.Concepts`.

        Args:
            inputs: the same as for a call; the more images show the same things, the clearer the concepts.
            count: how many concepts.
            layer: a name or module; None takes the automatic choice. Its negative activations count as zero.
            steps: how many steps the factorisation takes at most.
            seed: the seed of its random start.

        Raises:
            MethodError: if the layer has no positive activations, or fewer channels or positions than concepts.
            InputError, LayerError: as for a call.
        """
        with self._model.adapter.exclusive():
            notes = self._model.notes()
            found = find_concepts(
                self._model, inputs, count=count, layer=layer, steps=steps, seed=seed, notes=notes
            )
            notes.warn()
            return found

    def embed(self, inputs: Any) -> Float[Array, "batch feature"]:
        """Each image's embedding, for `Similarity`: the vector that is compared with captions, or the output itself.

        Args:
            inputs: the same as for a call.

        Raises:
            InputError: as for a call.
        """
        with self._model.adapter.exclusive():
            model = self._model
            given, batch = model.prepared(inputs)
            batch, texts = model.of_any_captions(batch), given.input_images.texts
            parts = length_buckets(batch, texts) if texts else [(np.arange(len(batch)), batch)]
            found: list[Array] = [None] * len(batch)
            for rows, part in parts:
                with model.adapter.observe(part, {}) as seen:
                    vectors = detached(embeddings(seen.outputs))
                    for row, vector in zip(rows.tolist(), vectors, strict=True):
                        found[row] = vector
            return array_namespace(found[0]).stack(found)

    def layers(
        self, inputs: Any = None, *, every: bool = False, size: Sequence[int] | None = None
    ) -> tuple[list[Layer], Layer | None]:
        """The layers with a grid, in the order they run, and the one that is chosen automatically.

        Args:
            inputs: the same as for a call; None runs an image of noise, or some text.
            every: whether to list the layers inside blocks too.
            size: the size of the noise in pixels along each axis; None takes the model's own input size.

        Returns:
            The layers, each tried whether it reaches the score, and the automatic choice (None if none reaches it).

        Raises:
            InputError: if neither an input nor a size is given and the model's own size is not known; or both are.
            LayerError: if no layer has a grid.
        """
        with self._model.adapter.exclusive():
            model = self._model
            _, batch = self._looked_at(inputs, size)
            found = list(model.adapter.layers(batch))
            chosen = None
            try:
                chosen = model.adapter.choose(batch)[0]
            except LayerError:
                if not found:
                    raise
            if chosen is not None and chosen.after_relu:
                # the ReLU of a layer is not a module of its own; it stands behind the module it belongs to
                place = next(i for i, layer in enumerate(found) if layer.name == chosen.module)
                found.insert(place + 1, chosen)
            shown = [
                layer for layer in found if every or layer.outline or (chosen and layer.name == chosen.name)
            ]
            reach = model.adapter.reaches(batch, shown)
            return [
                dataclasses.replace(layer, reaches=r) for layer, r in zip(shown, reach, strict=True)
            ], chosen

    def methods(self, inputs: Any = None, *, size: Sequence[int] | None = None) -> list[Offer]:
        """All methods, and of those that this model does not offer, why not.

        It is tried on one input: what each method needs is gathered at the automatic choice of layer, without making
        its map.

            [offer.name for offer in explainer.methods() if offer]

        Args:
            inputs: the same as for a call, of which the first counts; None runs an image of noise, or some text.
            size: the size of the noise in pixels along each axis; None takes the model's own input size.

        Raises:
            InputError: as for `layers`.
        """
        with self._model.adapter.exclusive():
            given, batch = self._looked_at(inputs, size)
            setting = Setting(0, self._model.black(given))
            return Trial(self._model.adapter, batch.images(slice(1)), setting).offers()

    def _looked_at(self, inputs: Any, size: Sequence[int] | None) -> tuple[Inputs | None, Batch]:
        """What is run to see what there is of the model: the inputs, or noise of a size; of texts the longest."""
        if inputs is not None and size is not None:
            raise InputError(f"size={tuple(size)}: the input has a size of its own. Give one of both.")
        given, batch = self._model.anything(size) if inputs is None else self._model.prepared(inputs)
        batch = self._model.of_any_captions(batch)
        if given is not None and given.input_images.texts:
            _, batch = length_buckets(batch, given.input_images.texts)[0]
        return given, batch


def explain(
    model: Any,
    inputs: Any,
    *,
    methods: MethodsLike = None,
    targets: TargetsLike = None,
    layers: Layers = None,
    channels: int = 0,
    seed: int = 0,
    explained_input: int | str | None = None,
    **model_options: Any,
) -> Explanation:
    """Explain once: `Explainer(model, **model_options)(inputs, …)`.

    camscope.explain(model, x)                    # Grad-CAM, top class, automatic layer
    camscope.explain("demo", "photo.jpg")         # names and paths too
    camscope.explain("hf:FOLDER", "a film I loved").words()

    Args:
        model: a module or a name, see `Explainer`.
        inputs: a preprocessed tensor, a photo, or a list of photos; for a model that reads texts, a text, a list of
            texts, or token numbers.
        methods: see `camscope.list_methods()`; None for Grad-CAM (HiResCAM for a detector).
        targets: see `Explainer.__call__`; None for each image's top class.
        layers: names or modules; None for the automatic choice.
        channels: how many of the strongest feature maps to keep.
        seed: the seed of random draws.
        explained_input: which of several inputs the maps are of, by position or keyword.
        model_options: the arguments of `Explainer`.

    Raises:
        ModelError: if the model cannot be loaded or hooked.
        InputError, LayerError, MethodError, TargetError: see `Explainer.__call__`.
    """
    explainer = Explainer(model, **model_options)
    return explainer(
        inputs,
        methods=methods,
        targets=targets,
        layers=layers,
        channels=channels,
        seed=seed,
        explained_input=explained_input,
    )
