"""Why weights do not fit a model, and the way that works."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from camscope.libraries.checkpoints.architectures import architectures_of
from camscope.libraries.checkpoints.reading import Checkpoint


def why_no_fit(state: Mapping[str, Any], model: Any, checkpoint: Checkpoint) -> str:
    """The likeliest reason and what to do, to follow a sentence; empty if none is seen.

    Args:
        state: the weights under the names that come closest to the model's.
        model: a `torch.nn.Module`.
        checkpoint: where they come from.
    """
    own = model.state_dict()
    for reason in (_other_head, _long_head, _whole_in_part, _other_input, _other_size):
        if told := reason(state, own, checkpoint):
            return f" {told}"
    found = architectures_of(checkpoint)
    if found:
        commands = " or ".join(f"--model {name} --weights {checkpoint.path}" for name in found)
        return f" They are weights of {' or '.join(found)}: {commands}."
    return f" {told}" if (told := _foreign(checkpoint)) else ""


def _missing(state: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    return [name for name in own if name not in state and not name.endswith("num_batches_tracked")]


def _unexpected(state: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    return [name for name in state if name not in own]


def _mismatched(state: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    return [name for name in own if name in state and state[name].shape != own[name].shape]


def _parents(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def _other_head(state: Mapping[str, Any], own: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """Only the number of classes differs, and the model's head cannot be made anew."""
    other = _mismatched(state, own)
    heads = _parents(other)
    only = len(heads) == 1 and not _missing(state, own) and not _unexpected(state, own)
    if not only or any(state[name].shape[1:] != own[name].shape[1:] for name in other):
        return ""
    count = state[other[0]].shape[0]
    return (
        f"Only the head differs: {count} outputs in the file. Let the function that builds the model take them, "
        f"def build(num_classes): …, or build it with {count}."
    )


def _long_head(state: Mapping[str, Any], own: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """The head of the file is made of several layers, where the model's is one."""
    heads = _parents(_missing(state, own))
    if len(heads) != 1 or _mismatched(state, own):
        return ""
    head = heads.pop()
    layers = {name: state[name] for name in _unexpected(state, own) if name.endswith(".weight")}
    if not head or not layers or any(not name.startswith(f"{head}.") for name in _unexpected(state, own)):
        return ""
    linear = [f"nn.Linear({one.shape[1]}, {one.shape[0]})" for one in layers.values() if one.ndim == 2]
    between = ", …, ".join(linear)
    return (
        f"Only the head differs: '{head}' is of several layers in the file ({', '.join(layers)}), and what stands "
        "between them has no weights, so it cannot be read. Write a file that builds it as it was trained, "
        f"def build(): model = …; model.{head} = nn.Sequential({between or '…'}); return model, and give --model "
        f"FILE.py:build --weights {checkpoint.path}."
    )


def _whole_in_part(state: Mapping[str, Any], own: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """The file holds only a part of a model: the body without a head, or adapters."""
    if any("lora_" in name for name in checkpoint.tensors):
        return (
            "The file holds adapters (LoRA), which are added to a model: merge them (PEFT's merge_and_unload) and give "
            "the model, or save that."
        )
    missing = _missing(state, own)
    if (
        missing
        and len(_parents(missing)) == 1
        and not _unexpected(state, own)
        and not _mismatched(state, own)
    ):
        return (
            f"Only '{_parents(missing).pop()}' is missing: the file holds a body without a head, as self-supervised "
            "training saves it, so there is no score to explain. Train a head (camscope train DATA --model … --weights "
            f"{checkpoint.path}), or explain its embedding: build the model without a head, and give "
            "targets=camscope.Similarity(…)."
        )
    return ""


def _other_input(state: Mapping[str, Any], own: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """The first layer takes another number of channels."""
    if _missing(state, own) or _unexpected(state, own):
        return ""
    for name in _mismatched(state, own):
        theirs, ours = state[name].shape, own[name].shape
        if len(theirs) == 4 and (theirs[0], *theirs[2:]) == (ours[0], *ours[2:]):
            return (
                f"It was trained on images of {theirs[1]} channel(s), and this model takes {ours[1]}. Write a file "
                f"that builds it so, def build(): return timm.create_model(…, num_classes=…, in_chans={theirs[1]}), "
                f"and give --model FILE.py:build --weights {checkpoint.path}."
            )
    return ""


def _other_size(state: Mapping[str, Any], own: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """Positions are of another number of patches."""
    if _missing(state, own) or _unexpected(state, own):
        return ""
    for name in _mismatched(state, own):
        theirs, ours = state[name].shape, own[name].shape
        if re.search("pos", name) and len(theirs) == len(ours) == 3 and theirs[2] == ours[2]:
            return (
                f"It was trained on images of another size: {theirs[1]} positions, and this model has {ours[1]}. Write "
                "a file that builds it so, def build(): return timm.create_model(…, num_classes=…, "
                f"img_size={_side(state, theirs[1])}), and give --model FILE.py:build --weights {checkpoint.path}."
            )
    return ""


def _side(state: Mapping[str, Any], positions: int) -> str:
    """The side of square images that are cut into so many patches, in pixels, for a message."""
    patch = next((one for name, one in state.items() if name.endswith("patch_embed.proj.weight")), None)
    return "…" if patch is None else str(math.isqrt(positions) * patch.shape[-1])


def _foreign(checkpoint: Checkpoint) -> str:
    """What the names tell of the library that the weights are of."""
    names = list(checkpoint.tensors)
    if (checkpoint.path.parent / "config.json").is_file():
        return f"A config.json of Hugging Face's lies beside them: give that folder, hf:{checkpoint.path.parent}."

    def some(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    if some(r"(^|\.)(vit|deit|beit|convnext|resnet|swin|dinov2)\.(embeddings|encoder)\."):
        return (
            "They have the names of Hugging Face's models: give the folder that save_pretrained wrote, with its "
            "config.json, hf:FOLDER."
        )
    if some(r"(^|\.)0\.0\.weight$") and some(r"(^|\.)1\.\d+\.weight$"):
        return (
            "They have the names of a fastai learner's body and head: export it (learn.export('FILE.pkl')) and "
            "give --model FILE.pkl --trust-pickle, or the Learner itself in Python."
        )
    if some(r"(^|\.)model\.\d+\.(conv|cv1|m)\."):
        return "They have the names of a YOLO model's: export it to ONNX, and give 'onnx:FILE.onnx'."
    if some(r"_packed_params|\.scale$") and some(r"zero_point"):
        return "They are of a quantised model: give the weights from before it was quantised."
    return (
        "Build the model that they are of in a file, def build(): …, and give --model FILE.py:build --weights "
        f"{checkpoint.path}."
    )
