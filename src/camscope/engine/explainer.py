"""Explainer and explain(): from a model and an input to an explanation."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, detached
from camscope.composition import Setting, list_methods
from camscope.engine.altering import altering
from camscope.engine.call import MethodsLike, read_call
from camscope.engine.choice_plan import Asked, By
from camscope.engine.choosing import choose
from camscope.engine.concept_search import find_concepts
from camscope.engine.explaining import Explaining, frames_of
from camscope.engine.layer_choice import Layers
from camscope.engine.length_buckets import length_buckets
from camscope.engine.listings import LayerTable, OfferTable
from camscope.engine.model import open_model
from camscope.engine.offering import Offer, Trial
from camscope.engine.other_weights import weighted_layers, with_other_weights
from camscope.engine.over_batches import Only, Over
from camscope.engine.own_forward import Watched
from camscope.engine.probing import Progress
from camscope.engine.progress_bar import bar
from camscope.engine.trusting import Wanted, judge
from camscope.errors import InputError, LayerError, without_warnings
from camscope.evidence import ModelEvidence
from camscope.images import Preprocessing
from camscope.inputs import Inputs
from camscope.keywords import keywords
from camscope.methods import default_method
from camscope.models.batch import Batch
from camscope.models.registry import unwrapped
from camscope.models.said_grid import SaidGrid
from camscope.outputs import Outputs, Task, embeddings
from camscope.results import Concepts, Explanation
from camscope.targets import TargetsLike
from camscope.trust import Choice, Judgement, RunCost


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
            model or pipeline, a fastai `Learner`, a `YOLO` or `RTDETR` object of ultralytics', or a name: `demo`,
            `timm:NAME`, `torchvision:NAME`, `hf:NAME-OR-FOLDER`, `FILE.py:FACTORY`, the folder of a training run; or a
            file with a whole pickled model, if `trust_pickle` is set.
        preprocessing: how photos become the model's input: a `Preprocessing`, torchvision transforms, a Hugging Face
            image processor, or a name: `0-1`, `-1-1`, `0-255`, `imagenet`, `keras:resnet50`, `FILE.json` (see
            `camscope.libraries.named_preprocessing`). Of a model that takes sounds it is its feature extractor. By
            default what the model's library says. Not used for tensors.
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

    Example:
        >>> explainer = camscope.Explainer(model)
        >>> explainer(x, targets="top3").heatmaps().shape
        torch.Size([2, 3, 96, 96])
        >>> explainer(x, targets=camscope.AllClasses()).maps().shape
        torch.Size([2, 1000, 3, 3])
    """

    @keywords("camscope.Explainer(model, {})")
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
        self._named = model if isinstance(model, str) else type(unwrapped(model)).__name__
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

    def __repr__(self) -> str:
        info, preprocessing = self._model.info, self.preprocessing
        classes = self._model.class_names or info.class_names
        facts = [
            self._named,
            *([f"{len(classes)} class names"] if classes else []),
            *([f"photos at {'×'.join(map(str, preprocessing.input_size))}"] if preprocessing else []),
            *(["texts"] if self.reads_texts else []),
            *(["sounds"] if self.hears_sounds else []),
        ]
        return f"Explainer({', '.join(facts)})"

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become the model's input, or None if that is not known."""
        return self._model.preprocessing

    @property
    def about(self) -> Mapping[str, Any]:
        """What the model is: its name, class, framework, device, precision, and a digest of its weights."""
        with self._model.adapter.exclusive():
            return {"model_name": self._model.info.name, **self._model.adapter.describe()}

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
    def detects(self) -> bool:
        """Whether the model detects instances, of which the most likely one is explained where no target is named."""
        return self._model.info.explained == "instance"

    @property
    def reads_texts(self) -> bool:
        """Whether strings are texts for this model, and not the names of photos."""
        return self._model.info.texts is not None

    @property
    def compares_captions(self) -> bool:
        """Whether the model compares images with captions, which are its classes."""
        return self._model.info.caption_decoder is not None

    @property
    def class_names(self) -> Sequence[str] | None:
        """The names of the classes, as they were given or came with the model; None if they are not known."""
        return self._model.class_names or self._model.info.class_names

    @property
    def hears_sounds(self) -> bool:
        """Whether strings are names of sounds for this model: it takes sounds, which its library prepares."""
        return self._model.info.sounds is not None

    @keywords("explainer(x, {})")
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
                an `attention_mask` by keyword where they are padded). For a model that takes sounds: a .wav file, an
                array `time`, (array, rate), what `datasets` gives (`array`, `sampling_rate`), or a list of these, which
                go through its feature extractor. Or what `prepare` gave.
            methods: one or several; see `camscope.list_methods()`. None takes `default_method`. Names, with parameters
                and compositions if you like (`scorecam(top=64)`, `smooth(layercam, n=16)`), or objects
                (`camscope.Smooth("layercam", n=16)`).
            targets: None explains each image's top class. A list means these targets for every image;
                `PerImage([...])` gives one, or one list, per image. See `camscope.targets.resolve`.
            layers: names or modules; None takes the deepest layer whose positions reach the score. `layer4:input` is
                what goes into layer4 (PyTorch).
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
            captions = model.captions(batch, targets, notes)
            if captions:
                batch = model.adapter.with_captions(batch, captions)
            notes.of_targets(targets, len(batch))
            texts = bool(given.input_images.texts)
            if layers is None and not texts and model.adapter.fpn_levels(batch):
                call = call.at_fpn_levels(and_backbone=bool(model.adapter.backbone_stages(batch)))
            explaining = Explaining(model, call, captions, notes)
            explanation = (explaining.texts if texts else explaining.pictures)(batch, given, targets)
            notes.warn()
            return explanation

    @keywords("explainer.watching({})", elsewhere={"targets": "explainer.from_output(seen, targets=…)"})
    def watching(
        self,
        *,
        methods: MethodsLike = None,
        layers: Layers = None,
        channels: int = 0,
        explained_input: int | str | None = None,
    ) -> AbstractContextManager[Watched]:
        """Watch the forward that you make anyway, so that its maps cost no second one (PyTorch).

            with explainer.watching() as seen:
                output = model(x)
            loss = criterion(output, y)
            e = explainer.from_output(seen, targets=camscope.PerImage(y))
            loss.backward()

        The forward is yours: in the mode the model is in, under your autocast or `no_grad`, through DDP. Outputs, loss
        and gradients are bit for bit those without watching, and no hook stays. For every new shape of input the layers
        are found first, by runs of their own in eval mode with everything put back. Under `no_grad` a graph begins at
        the layer and ends with the forward: what you get is on none. Under `inference_mode` there are no gradients:
        methods of activations or of a linear head work there. A compiled model runs step by step in the block.

        Maps are the same as of a call, if the model is in eval mode; those of train mode say so in their notes. Of
        several forwards in the block the last one counts. `seen` holds its graph: let go of it when you are done.

        Args:
            methods: of activations, gradients and a linear head; see `__call__`.
            layers: see `__call__`.
            channels: see `__call__`.
            explained_input: see `__call__`. A keyword of the model's forward is its name here, too.

        Raises:
            MethodError: for a method that would run the model again, naming those that do not.
            ModelError: for a model of another framework, a detector, or one that reads texts.
            InputError, LayerError: as for a call; what the model's inputs show is raised by the forward.
        """
        model = self._model
        explained = model.info.explained
        call = read_call(
            methods, model.adapter.offers, explained=explained, layers=layers, channels=channels, seed=0
        )
        return Watched(model, call, explained_input).watching()

    @keywords("explainer.from_output(seen, {})")
    def from_output(self, seen: Watched, *, targets: TargetsLike = None) -> Explanation:
        """Explain a forward that was watched; see `watching`. The model does not run.

        Call it before your own backward, which frees the graph (or let that keep it, by `retain_graph=True`), and
        before the optimiser's step. Your graph is not changed and not freed, and no `.grad` either; backward hooks of
        your own behind the layer are called.

        Args:
            seen: what `watching` gave.
            targets: see `__call__`: `PerImage(labels)` for the labels of a batch.

        Raises:
            InputError: if the model was not run, its weights have changed since, or the graph is gone.
            MethodError, TargetError, LayerError: as for a call.
        """
        if not isinstance(seen, Watched):
            raise InputError(
                f"from_output takes what watching() gave, not {type(seen).__name__}: "
                "with explainer.watching() as seen: output = model(x). Then explainer.from_output(seen)."
            )
        if not seen.is_of(self._model):
            raise InputError("This forward was watched by another Explainer: ask that one.")
        notes = self._model.notes()
        explanation = seen.explanation(targets, notes)
        notes.warn()
        return explanation

    @keywords("explainer.over(loader, {})")
    def over(
        self,
        batches: Iterable[Any],
        *,
        methods: MethodsLike = None,
        targets: TargetsLike = None,
        layers: Layers = None,
        channels: int = 0,
        seed: int = 0,
        explained_input: int | str | None = None,
        only: Only = None,
        apart: Callable[[Any], tuple[Any, Any]] | None = None,
        size: int = 16,
        progress: bool = True,
    ) -> Iterator[Explanation]:
        """Explain one batch after another of a DataLoader, a Dataset, a list of photos or whatever yields such.

            for e in explainer.over(loader, only="wrong"):        # those it gets wrong, and how they are labelled
                e.gallery().savefig(f"{e.labels[0]}.png")

        Each is an explanation of one batch. Nothing of those before is kept, so memory stays flat. The mean map of
        every class, in three lines:

            sums, counts = collections.defaultdict(float), collections.Counter()
            for e in explainer.over(loader, targets="labels"):
                for label, heatmap in zip(e.labels, e.heatmaps()[:, 0]):
                    sums[label], counts[label] = sums[label] + heatmap, counts[label] + 1
            means = {label: sums[label] / counts[label] for label in sums}

        Args:
            batches: yields batches: tensors, lists of photos, (inputs, labels) pairs, dictionaries with the labels
                under `labels`, `label`, `y` or `target`; or single images, with a label or without, of which `size`
                make a batch. Labels are class indices, names, or 0 and 1 for every class.
            methods: see `__call__`; so are `layers`, `channels`, `seed` and `explained_input`.
            targets: see `__call__`; or `"labels"`, which explains what each image is labelled as.
            layers: see `__call__`.
            channels: see `__call__`.
            seed: see `__call__`.
            explained_input: see `__call__`.
            only: `"wrong"` or `"right"` explains only the images whose top class is not, or is, their label (of several
                labels: exactly those classes above one half); the others cost one forward. A function gets each
                explanation and says of which images it is wanted: `lambda e: e.probabilities.max(1).values < 0.5`.
                Batches of which none is wanted are left out.
            apart: from what `batches` yields to its inputs and labels (None for none), where that is not found.
            size: how many single images make a batch.
            progress: whether a bar is shown, in a terminal or a notebook.

        Yields:
            the explanations, with `e.labels` where labels came.

        Raises:
            InputError: if labels are asked for and there are none, or `only` says nothing.
            ImageError, LayerError, MethodError, TargetError: as for a call; a note says in which batch.
        """
        iterable = hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")
        if isinstance(batches, (str, Path)) or hasattr(batches, "shape") or not iterable:
            raise InputError(
                f"over() takes what yields one batch after another, not {type(batches).__name__}: a DataLoader, or a "
                "list such as sorted(Path('photos').glob('*.jpg')). Of one batch it is explainer(x)."
            )
        call: dict[str, Any] = {
            "methods": methods,
            "layers": layers,
            "channels": channels,
            "seed": seed,
            "explained_input": explained_input,
        }
        over = Over(
            prepare=lambda inputs: self.prepare(inputs, explained_input=explained_input),
            explain=lambda given, wanted: self(given, targets=wanted, **call),
            outputs=self.outputs,
            class_names=lambda count: self._model.names(count, self._model.notes()),
            targets=targets,
            only=only,
        )
        return over.run(batches, size=size, apart=apart, progress=progress)

    def outputs(self, inputs: Any) -> Outputs:
        """What the model says of each image, and nothing of where; boxes that it found are in pixels of the photos.

        Args:
            inputs: the same as for a call.

        Raises:
            InputError, ImageError: as for a call.
        """
        seen: list[Outputs] = []

        def read(outputs: Outputs) -> Array:
            seen.append(outputs)
            return outputs.logits

        given = self.prepare(inputs)
        logits, found, frames = self._read(given, read), seen[0].predictions, frames_of(given)
        if found is not None and frames is not None:
            found = found.on_photos(frames)
        return Outputs(logits, seen[0].task, predictions=found)

    @keywords("explainer.prepare(x, {})")
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

    @keywords("explainer.concepts(photos, {})")
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

    @keywords("explainer.altering(x, {})")
    def altering(
        self, inputs: Any, *, targets: TargetsLike = None, explained_input: int | str | None = None
    ) -> AbstractContextManager[ModelEvidence]:
        """Ask the model what it says of altered copies of a batch, of the targets found in the batch as it is.

            with explainer.altering(x) as seen:
                half = seen.masked(0, 1, lambda numbers: seen.inputs[:1] / 2)   # of image 0, one altered copy
                half.probabilities, seen.responses.probabilities[0]             # with the change, and without

        The copies are made and run chunk by chunk. All targets of an image are read from the same runs.

        Of texts `seen.inputs` are `batch 1 token` of booleans, True at the tokens of words, and an altered copy is made
        by setting some to False: these are replaced by the tokenizer's mask token, or else by that for unknown words;
        where it has neither, PyTorch's models see the mean of all their word embeddings there.
        What is no word ([CLS], padding) stays.

            with explainer.altering("a film I loved") as seen:
                without = seen.masked(0, 1, lambda numbers: seen.inputs & (np.arange(6) != 4))

        Args:
            inputs: the same as for a call.
            targets: see `__call__`. None is each image's top class as it is, which stays the target of its copies.
            explained_input: see `__call__`; it is the input that is altered.

        Returns:
            A context, in which the model is held as during a call; see `camscope.evidence.ModelEvidence`.

        Raises:
            InputError, ImageError, TargetError: as for a call. `masked` raises an InputError for texts, if nothing is
                known that stands for nothing.
        """
        return altering(self._model, inputs, targets, explained_input)

    def weighted_layers(self, inputs: Any) -> tuple[str, ...]:
        """The layers that have weights of their own, in the order they run; the last is the head.

        Args:
            inputs: the same as for a call.

        Raises:
            ModelError: if of such a model no copy with other weights can be made, saying why.
        """
        return weighted_layers(self._model, inputs)

    @keywords("explainer.randomised(x, {})")
    def randomised(
        self,
        inputs: Any,
        *,
        seed: int = 0,
        head_only: bool = False,
        layers: str | Sequence[str] | None = None,
    ) -> Explainer:
        """An explainer of a copy whose weights are drawn anew; a map that looks the same there is not of the weights.

            other = explainer.randomised(x)(x, targets=281, layers="layer4")

        Every tensor is drawn by a generator of its own, with the mean and the deviation of its values: class tokens and
        positions too, shared weights once. Statistics of batch norms are those of the batch, where what changed reaches
        them. `camscope.metrics.model_randomisation` compares the maps.

        Args:
            inputs: the same as for a call: the batch that the statistics are of.
            seed: of the draws.
            head_only: draw the weights of the last weighted layer alone.
            layers: draw those of these layers alone, of `weighted_layers`.

        Returns:
            the explainer of the copy, which takes as much memory as the model; this one is left as it is.

        Raises:
            InputError: for a layer without weights.
            ModelError: if the model cannot be copied, keeps its weights as whole numbers, or is of a framework in which
                no copy is made.
        """
        other = copy.copy(self)
        other._model = with_other_weights(self._model, inputs, seed, head_only, layers)
        return other

    def at_rest(self) -> AbstractContextManager[None]:
        """For many calls one after another: within it nothing but PyTorch writes to the weights, if anything does.

        Each call looks whether the weights are still those that it knows. What is written through NumPy, or through
        `p.data`, is seen by adding up all values, which takes a tenth of the time of a small model; within this it is
        left out.
        """
        found = getattr(self._model.adapter, "at_rest", nullcontext)()
        return cast("AbstractContextManager[None]", found)

    def optimised(self, *, half: bool = False) -> Explainer:
        """The same on a copy of the model made for inference: batch norm folded, channels last (PyTorch).

        As `Explainer(model, optimised=True)`; the copy is made and tried at the first call.

        Args:
            half: whether the copy is in bfloat16.

        Raises:
            ModelError: if the model's framework has none.
        """
        other = copy.copy(self)
        other._model = self._model.optimised(half=half)
        return other

    @keywords("explainer.choose(photos, {})")
    def choose(
        self,
        photos: Any,
        *,
        methods: MethodsLike = None,
        layers: Layers = None,
        labels: Sequence[Any] | str | None = None,
        groups: Sequence[Any] | None = None,
        by: By = "mosaics",
        probes: int | None = None,
        seed: int = 0,
        progress: bool = True,
        tell: Callable[[str], None] | None = None,
    ) -> Choice:
        """Which method and layer serve this model on these photos; chosen on one half, tested on the other.

            choice = explainer.choose(sorted(Path("photos").rglob("*.jpg")), labels="folders")
            explainer("photo.jpg", **choice.options)

        Candidates are ranked by the grid pointing game: mosaics of the most confident photos of different classes give
        the truth of where each class is, without annotation. On the other half the best one's fidelity is compared with
        those of the centre, the mean activation and a random map, photo by photo, by a BCa bootstrap.

        Args:
            photos: a list of paths, PIL images or arrays; a folder; or a batch (image, channel, height, width) that is
                prepared. At least 50, or nothing is claimed. Those that cannot be read are left out, and named.
            methods: the candidates; see `__call__`. None takes those of one layer that cost no more than a forward and
                a short backward.
            layers: where; None takes the automatic choice and its runners-up.
            labels: of each photo its class, as index or name; or `"folders"`, the name of the folder that it lies in.
                Photos that the model gets wrong stand in no mosaic then. None takes the classes that it sees for true.
            groups: of each photo what it belongs to, such as a patient or a video: no group is in both halves, and
                groups are what is counted and drawn.
            by: what candidates are ranked by: `mosaics`, or `fidelity` where none can be made.
            probes: how many altered copies of each photo fidelity is measured by; see `trust`.
            seed: of the split, the mosaics and the bootstrap.
            progress: whether bars are shown, in a terminal or a notebook.
            tell: gets the price, in forwards, before the long part; by default nobody.

        Raises:
            InputError: if no photo can be read, there are no mosaics, or labels or groups are not one for each photo.
            ModelError: if the model is no classifier of photos.
            LayerError, MethodError, TargetError: as for a call.
        """
        asked = Asked(labels, groups, by, probes, seed, progress, tell or (lambda words: None), self.about)
        offers = self._model.adapter.offers
        with self._model.adapter.exclusive(), without_warnings():
            return choose(self, photos, asked, methods=methods, layers=layers, offers=offers)

    @keywords("explainer.trust(x, {})")
    def trust(
        self,
        inputs: Any,
        *,
        methods: MethodsLike = None,
        layers: Layers = None,
        targets: TargetsLike = None,
        labels: Sequence[Any] | str | None = None,
        checks: str | Sequence[str] = ("fidelity", "class"),
        probes: int | None = None,
        seed: int = 0,
        explained_input: int | str | None = None,
        progress: bool | Progress = True,
        tell: Callable[[RunCost], object] | None = None,
    ) -> Judgement:
        """Explain a batch, and say of every map whether it can be trusted, with the evidence beside it.

            judgement = explainer.trust("photo.jpg", methods=["gradcam", "layercam"])
            judgement.rows[0].verdict                       # "beats all baselines"

        Parts of each input are removed at random, half of them by a blurred copy and half by what their neighbours say
        (ROAD), and the model is asked what it says then. A map says where, if what it puts on the removed parts goes
        with what the score loses: more than by the same map shifted, flipped and turned (p ≤ 0.025), and, with 95 %
        confidence, more than by the centre of the picture and by the layer's mean activation. All methods, classes and
        layers of one grid are judged by the same answers: 128 altered inputs for each image and grid, 256 where a grid
        has more than 7 × 7 cells.

        Layers of other grids are probed by their own cells, so that what is said of a map does not depend on what else
        is asked for.

        Args:
            inputs: see `__call__`.
            methods: see `__call__`.
            layers: see `__call__`.
            targets: see `__call__`. What is probed is the log-probability of a class; of what has no probability (a
                regression, a region, an instance, a function) the score itself.
            labels: of each image its class, as index or name; or `"folders"`, the name of the folder that it lies in.
                Where the model says another one, the verdict says so: a map may well say where a wrong answer is from.
            checks: the tests: `fidelity`, which the verdict is made of, and further ones:
                `camscope.trust.list_checks()` names them, and `all` is every one.
            probes: how many altered inputs for each image and grid, in place of 128 or 256.
            seed: of whatever is drawn.
            explained_input: see `__call__`.
            progress: whether a bar is shown, in a terminal or a notebook; or a function, called with the number of
                inputs that are answered or explained again and of all: with 0 before the first, and after every chunk.
            tell: gets what all tests cost before they are run, such as `print`: how many altered inputs the model is
                run on, and how many inputs are explained once more (`weights` and `stability` make the maps again);
                see `camscope.trust.RunCost`. By default nobody.

        Returns:
            a row for every image, target, method and layer. What cannot be judged says why in its row.

        Raises:
            InputError: for a number of probes that says nothing, a test that does not exist, or labels that are not one
                for each image.
            ImageError, LayerError, MethodError, TargetError: as for a call.
            ModelError: if the model cannot be run on altered inputs.
        """
        with self._model.adapter.exclusive():
            given = self.prepare(inputs, explained_input=explained_input)
            with bar("asking the model", shown=progress is True) as shown:
                told = progress if callable(progress) else shown
                price = tell or (lambda cost: None)
                wanted = Wanted(methods, layers, targets, labels, checks, probes, seed, told, price)
                return judge(self, given, wanted, self.default_method)

    def embed(self, inputs: Any) -> Float[Array, "batch feature"]:
        """Each image's embedding, for `Similarity`: the vector that is compared with captions, or the output itself.

        Args:
            inputs: the same as for a call.

        Raises:
            InputError: as for a call.
        """
        return self._read(inputs, embeddings)

    def _read(self, inputs: Any, read: Callable[[Outputs], Array]) -> Float[Array, "batch feature"]:
        """What is read from the model's outputs for each image; of texts, bucket by bucket."""
        with self._model.adapter.exclusive():
            model = self._model
            given, batch = model.prepared(inputs)
            batch, texts = model.of_any_captions(batch), given.input_images.texts
            parts = length_buckets(batch, texts) if texts else [(np.arange(len(batch)), batch)]
            found: list[Array] = [None] * len(batch)
            for rows, part in parts:
                with model.adapter.observe(part, {}) as seen:
                    vectors = detached(read(seen.outputs))
                    for row, vector in zip(rows.tolist(), vectors, strict=True):
                        found[row] = vector
            return array_namespace(found[0]).stack(found)

    @keywords("explainer.layers({})")
    def layers(
        self, inputs: Any = None, *, every: bool = False, size: Sequence[int] | None = None
    ) -> LayerTable:
        """The layers with a grid, in the order they run, and the one that is chosen automatically.

        It shows itself as a table, and unpacks: `layers, chosen = explainer.layers()`.

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
            return LayerTable(
                [dataclasses.replace(layer, reaches=r) for layer, r in zip(shown, reach, strict=True)], chosen
            )

    @keywords("explainer.methods({})")
    def methods(self, inputs: Any = None, *, size: Sequence[int] | None = None) -> OfferTable:
        """All methods, and of those that this model does not offer, why not. It shows itself as a table.

        It is tried on one input: what each method needs is gathered at the automatic choice of layer, without making
        its map.

            explainer.methods().names                              # of those it offers
            [offer.name for offer in explainer.methods() if offer]   # the same

        Args:
            inputs: the same as for a call, of which the first counts; None runs an image of noise, or some text.
            size: the size of the noise in pixels along each axis; None takes the model's own input size.

        Raises:
            InputError: as for `layers`.
        """
        with self._model.adapter.exclusive():
            return OfferTable(self.offers(inputs, size=size))

    @keywords("explainer.offers({})")
    def offers(self, inputs: Any = None, *, size: Sequence[int] | None = None) -> Iterator[Offer]:
        """The same methods one by one, each as it was tried: between two of them others may have the model.

        Args:
            inputs: see `methods`.
            size: see `methods`.

        Raises:
            InputError: as for `layers`.
        """
        exclusive = self._model.adapter.exclusive
        with exclusive():
            given, batch = self._looked_at(inputs, size)
            trial = Trial(self._model.adapter, batch.images(slice(1)), Setting(0, self._model.black(given)))
        for method in list_methods():
            with exclusive():
                offer = trial.offer(method)
            yield offer

    def _looked_at(self, inputs: Any, size: Sequence[int] | None) -> tuple[Inputs | None, Batch]:
        """What is run to see what there is of the model: the inputs, or noise of a size; of texts the longest."""
        if inputs is not None and size is not None:
            raise InputError(f"size={tuple(size)}: the input has a size of its own. Give one of both.")
        given, batch = self._model.anything(size) if inputs is None else self._model.prepared(inputs)
        batch = self._model.of_any_captions(batch)
        if given is not None and given.input_images.texts:
            _, batch = length_buckets(batch, given.input_images.texts)[0]
        return given, batch


@keywords("camscope.explain(model, x, {})", passes_on=Explainer.__init__)
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

    Example:
        >>> e = camscope.explain(model, x, methods=["gradcam", "layercam"], targets=[281, 285])
        >>> e.maps("layercam").shape  # image × target × rows × columns
        torch.Size([2, 2, 3, 3])
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
