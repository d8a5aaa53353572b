"""What the pages' code finds in its folder: photos, folders of them, sounds."""

from __future__ import annotations

from pathlib import Path

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
