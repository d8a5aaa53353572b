"""Processors of Hugging Face that are not translated are run, and what they do is undone as it was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

import camscope
from camscope.libraries.info import ModelInfo
from camscope.libraries.processors import with_processor
from tests.libraries.test_huggingface import TINY, build

SMALL = {"shortest_edge": 120, "longest_edge": 200}

PROCESSORS = {
    "EfficientNet": lambda: hf.EfficientNetImageProcessor(size={"height": 128, "width": 128}),
    "LeViT": lambda: hf.LevitImageProcessor(
        size={"shortest_edge": 112}, crop_size={"height": 112, "width": 112}
    ),
    "DETR": lambda: hf.DetrImageProcessor(size=SMALL),
    "DETR, padded": lambda: hf.DetrImageProcessor(size=SMALL, pad_size={"height": 208, "width": 208}),
    "OWLv2": lambda: hf.Owlv2ImageProcessor(size={"height": 128, "width": 128}),
    "SAM": lambda: hf.SamImageProcessor(size={"longest_edge": 128}, pad_size={"height": 128, "width": 128}),
    "any size": lambda: hf.ViTImageProcessor(do_resize=False),
    "no crop": lambda: hf.CLIPImageProcessor(do_center_crop=False, size={"shortest_edge": 128}),
}


class Bright(nn.Module):
    """Sees brightness where it is, at a quarter of the resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(4)
        self.seen = nn.ReLU()
        self.head = nn.Linear(3, 2)
        nn.init.ones_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.seen(self.cells(x) + 2.2).mean((2, 3)))


def spotted(size: tuple[int, int], top: int, left: int, side: int) -> Image.Image:
    """A dark photo with a white square."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[top : top + side, left : left + side] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize(("size", "corner"), [((150, 240), (40, 90)), ((240, 150), (110, 40))])
def test_evidence_lands_where_it_is_in_the_photo(name, size, corner):
    """Grad-CAM of the square is the square, on the photo as it is, whatever was cut off, padded or stretched."""
    photo = spotted(size, *corner, side=40)
    explainer = camscope.Explainer(Bright(), preprocessing=PROCESSORS[name]())
    e = explainer(photo, layers="cells")
    assert e.input_image(0).picture.size == photo.size
    ((box,),) = e.boxes(threshold=0.5, on_photo=True)[0]
    top, left = corner
    np.testing.assert_allclose(box, (left, top, left + 40, top + 40), atol=9)
    assert e.overlay().size == photo.size


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_model_gets_what_the_processor_makes(name, photos):
    photo, processor = Image.fromarray(photos["cat"]), PROCESSORS[name]()
    given = camscope.Explainer(Bright(), preprocessing=processor).prepare(photo)
    theirs = processor(photo, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(np.asarray(given.batch.given), theirs, atol=1e-6)
    assert given.of_photos


def test_padding_is_told_to_a_model_that_can_be_told():
    class Told(Bright):
        def forward(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor | None = None) -> torch.Tensor:
            self.mask = pixel_mask
            return super().forward(pixel_values)

    model, photo = Told(), spotted((150, 240), 40, 90, 40)
    camscope.explain(model, photo, preprocessing=PROCESSORS["DETR, padded"](), layers="cells")
    assert model.mask.shape[-2:] == (208, 208)
    assert 0 < model.mask.float().mean() < 1
    camscope.explain(model, photo, preprocessing=PROCESSORS["DETR"](), layers="cells")
    assert model.mask is None  # nothing is padded


def test_photos_of_one_size_go_together_and_others_are_refused():
    explainer = camscope.Explainer(Bright(), preprocessing=PROCESSORS["DETR"]())
    assert explainer.keeps_sizes
    one, other = spotted((150, 240), 40, 90, 40), spotted((150, 240), 60, 20, 40)
    together = explainer([one, other], layers="cells").maps()
    alone = explainer(other, layers="cells").maps()
    torch.testing.assert_close(together[1:], alone)
    with pytest.raises(camscope.InputError, match=r"several sizes of these photos \(120×192, 192×120\)"):
        explainer([one, spotted((240, 150), 40, 90, 40)])
    assert not camscope.Explainer(Bright(), preprocessing=PROCESSORS["OWLv2"]()).keeps_sizes


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        (
            lambda: hf.VideoMAEImageProcessor(),
            r"array of shape \(1, 1, 3, 224, 224\) of a photo, where \(1, 3, height",
        ),
        (lambda: hf.Pix2StructImageProcessor(), "nothing of a photo"),
        (lambda: hf.VitMatteImageProcessor(), "does not take a photo"),
        (
            lambda: hf.ZoeDepthImageProcessor(),
            "does not only resize, crop and pad",
        ),  # it pads with a mirror image
    ],
)
def test_what_cannot_be_undone_is_refused_with_the_way_out(processor, words):
    with pytest.raises(camscope.InputError, match=rf"cannot be undone: .*{words}.*\['pixel_values'\]"):
        with_processor(ModelInfo(), processor(), None)


def test_what_is_cut_off_by_its_content_is_noticed():
    class Cuts:
        """Cuts off blank rows and columns, as a processor for scanned pages."""

        def to_dict(self):
            return {"do_pad": True}

        def __call__(self, picture, return_tensors):
            brightest = picture.getextrema()[0][1]
            box = picture.getbbox() if brightest == 200 else None
            small = picture.crop(box).resize((64, 64)) if box else picture.resize((64, 64))
            return {"pixel_values": np.asarray(small, np.float32).transpose(2, 0, 1)[None] / 255}

    explainer = camscope.Explainer(Bright(), preprocessing=Cuts())
    pixels = np.zeros((150, 240, 3), np.uint8)
    pixels[40:80, 90:130] = 200
    with pytest.raises(
        camscope.InputError, match=r"What the Cuts does to the photo cannot be undone: .*this photo"
    ):
        explainer(Image.fromarray(pixels))


def test_a_folder_with_such_a_processor_is_a_model(tmp_path, photos):
    build("ViT", **TINY).save_pretrained(tmp_path / "vit")
    hf.EfficientNetImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "vit")
    photo = Image.fromarray(photos["cat"])
    explainer = camscope.Explainer(f"hf:{tmp_path}/vit")
    e = explainer(photo)
    assert e.input_size == (64, 64)
    assert e.input_image(0).picture.size == photo.size
    assert not any("axes" in note for note in e.notes)
    assert explainer.layers()[1] is not None  # on a photo of noise
