"""What the pages' code and commands find in their folder: photos, folders of them, sounds, and models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data


def prepared(folder: Path) -> None:
    """Put `photo.jpg`, `other.jpg`, `street.jpg` and `photos/cat`, `photos/coffee` into a folder."""
    cat, coffee = Image.fromarray(data.chelsea()), Image.fromarray(data.coffee())
    cat.save(folder / "photo.jpg")
    coffee.save(folder / "other.jpg")
    Image.fromarray(data.astronaut()).save(folder / "street.jpg")
    for name, photo in (("cat", cat), ("coffee", coffee)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(4):
            turned = photo.resize((224, 160)).rotate(3 * number)
            turned.save(folder / "photos" / name / f"{number}.jpg")


# ---------------------------------------------------------------------- what commands name


def _photos(place: Path) -> None:
    place.mkdir()
    for name in ("photo.jpg", "other.jpg"):
        (place / name).write_bytes((place.parent / name).read_bytes())


def _names(place: Path) -> None:
    place.write_text("cat\ndog\ncow\n")


def _weights(place: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("resnet50", num_classes=3).state_dict(), place)


def _factory(place: Path) -> None:
    place.write_text(
        "import torchvision\n\n\ndef make_model():\n    return torchvision.models.resnet18(num_classes=3)\n"
    )


def _keras(place: Path) -> None:
    import keras
    from keras import layers

    parts = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    keras.Sequential([keras.Input((48, 48, 3)), *parts]).save(place)


def _jax(place: Path) -> None:
    place.write_text(
        "from flax import nnx\n\n\n"
        "class Network(nnx.Module):\n"
        "    def __init__(self, rngs):\n"
        "        self.conv, self.head = nnx.Conv(3, 8, (3, 3), rngs=rngs), nnx.Linear(8, 3, rngs=rngs)\n\n"
        "    def __call__(self, x):\n"
        "        return self.head(nnx.relu(self.conv(x)).mean((1, 2)))\n\n\n"
        "def make_model():\n    return Network(nnx.Rngs(0))\n"
    )


def _onnx(place: Path) -> None:
    import torchvision

    example = (torch.randn(1, 3, 64, 64),)
    torch.onnx.export(torchvision.models.resnet18().eval(), example, str(place), dynamo=False)


def _clip(place: Path) -> None:
    from tests.small_clip import saved

    saved(place)


def _reader(place: Path) -> None:
    from tests.texts import transformer, wordpiece

    transformer().save_pretrained(place)
    wordpiece().save_pretrained(place)


def _reviews(place: Path) -> None:
    place.write_text("a film I loved\nnot a good film\n")


def _listener(place: Path) -> None:
    from tests.libraries.sounds import saved

    saved("Hubert", place)


def _speech(place: Path) -> None:
    from scipy.io import wavfile

    from tests.libraries.sounds import noise

    wavfile.write(place, 16000, noise(1, 16000))


def _vit(place: Path) -> None:
    import transformers as hf

    from tests.small_clip import TINY

    hf.ViTForImageClassification(hf.ViTConfig(image_size=64, patch_size=8, **TINY)).save_pretrained(place)
    hf.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(place)


def _table(place: Path) -> None:
    (place.parent / "jpgs").mkdir()
    rng, rows = np.random.default_rng(0), ["ID,Label"]
    for number in range(60):
        light = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(light).save(place.parent / "jpgs" / f"{number}.jpg")
        rows.append(f"{number},{('bell', 'dog', 'bell|dog')[number % 3]}")
    place.write_text("\n".join(rows))


THINGS: Mapping[str, Callable[[Path], None]] = {
    "holiday": _photos,
    "my-photos": _photos,
    "names.txt": _names,
    "best.safetensors": _weights,
    "mine.py": _factory,
    "mine.keras": _keras,
    "jax_model.py": _jax,
    "model.onnx": _onnx,
    "CLIP-FOLDER": _clip,
    "TEXT-CLASSIFIER": _reader,
    "reviews.txt": _reviews,
    "speech.wav": _speech,
    "hf:FOLDER": _listener,
    "MY-FOLDER": _vit,
    "labels.csv": _table,
}
"""What makes a thing that a command may name, given where it goes."""


def with_all_of(command: str, folder: Path) -> None:
    """Put what a command names into a folder, as far as it is not there."""
    for name, make in THINGS.items():
        place = folder / name.removeprefix("hf:")
        if name in command and not place.exists():
            make(place)
