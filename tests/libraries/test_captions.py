"""CLIP-like models (Hugging Face's CLIP and SigLIP, open_clip): captions as classes, one encoding of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

import camscope
from camscope import Caption, Contrast, PerImage, Similarity, TopK
from camscope.errors import InputError, ModelError, TargetError
from tests.small_clip import TEXT, VISION, clip, letters, saved, seeded

CAPTIONS = ["a photo of a cat", "a photo of a dog", "two cows, far away"]
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Any:
    """CLIP's own kind of tokenizer, with letters for words."""
    return letters(tmp_path_factory.mktemp("tokenizer"))


def siglip() -> nn.Module:
    text = {**TEXT, "projection_size": 32}
    model = seeded(lambda: hf.SiglipModel(hf.SiglipConfig(vision_config=VISION, text_config=text)))
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.0)
    return model


def open_clip(init_logit_bias: float | None = None, **vision: Any) -> nn.Module:
    library = pytest.importorskip("open_clip")
    size = {"width": 32, "patch_size": 8, "layers": 3, "head_width": 16}
    return seeded(
        lambda: library.CLIP(
            embed_dim=16,
            vision_cfg={"image_size": 64, **(vision or size)},
            text_cfg={"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
            init_logit_bias=init_logit_bias,
        )
    )


MODELS = {
    "clip": clip,
    "siglip": siglip,
    "open_clip": open_clip,
    "open_clip siglip": lambda: open_clip(init_logit_bias=-1.0),
    "open_clip resnet": lambda: open_clip(layers=(1, 1, 1, 1), width=8, head_width=8),
}


@pytest.fixture(scope="module")
def explainers(tokenizer) -> Callable[[str], camscope.Explainer]:
    made: dict[str, camscope.Explainer] = {}

    def explainer(name: str) -> camscope.Explainer:
        if name not in made:
            given = {} if name.startswith("open_clip") else {"tokenizer": tokenizer}
            made[name] = camscope.Explainer(MODELS[name](), **given)
        return made[name]

    return explainer


def own_logits(name: str, model: nn.Module, tokenizer: Any, x: torch.Tensor) -> torch.Tensor:
    """What the library itself says of images and captions, both run through the whole model."""
    with torch.no_grad():
        if name.startswith("open_clip"):
            import open_clip

            image, text, scale, *bias = model(x, open_clip.SimpleTokenizer(context_length=24)(CAPTIONS))
            return scale * image @ text.T + sum(bias)
        padding = "max_length" if name == "siglip" else True
        tokens = tokenizer(CAPTIONS, padding=padding, max_length=24, return_tensors="pt")
        taken = {k: v for k, v in tokens.items() if k in ("input_ids", "attention_mask")}
        return model(pixel_values=x, **taken).logits_per_image


@pytest.mark.parametrize("name", MODELS)
def test_captions_are_classes_scored_as_the_model_itself_does(explainers, tokenizer, name):
    explainer = explainers(name)
    e = explainer(X, targets=CAPTIONS)
    expected = own_logits(name, explainer._model.adapter.model, tokenizer, X)
    torch.testing.assert_close(e.logits, expected, rtol=1e-4, atol=1e-4)
    own = expected.sigmoid() if "siglip" in name else expected.softmax(1)
    torch.testing.assert_close(e.probabilities, own, rtol=1e-3, atol=1e-4)
    assert [t.label for t in e.targets[0]] == CAPTIONS
    assert {str(s) for rows in e.status.values() for row in rows for s in row} <= {"ok", "all-negative"}


@pytest.mark.parametrize("name", MODELS)
def test_the_map_is_the_gradient_by_hand_and_follows_the_caption(explainers, name):
    explainer = explainers(name)
    e = explainer(X, targets=CAPTIONS, methods="hirescam")
    model, (layer,) = explainer._model.adapter.model, e.layers
    batch = explainer._model.adapter.with_captions(
        explainer._model.adapter.batch(camscope.models.batch.Batch((X,))), CAPTIONS
    )
    with camscope.record(model, [layer]) as seen:
        logits = explainer._model.adapter.decoder.call(model, batch).logits
        logits[:, 1].sum().backward()
    model.zero_grad()
    grid = explainer._model.adapter.layer(batch, layer).grid
    A, g = (grid.canonical(t.detach()) for t in (seen[layer].activations, seen[layer].gradients))
    torch.testing.assert_close(e.maps()[:, 1], (A * g).sum(1), rtol=1e-3, atol=1e-6)
    assert not torch.allclose(e.maps()[:, 0], e.maps()[:, 1], rtol=0.05)


class Counted:
    """How often the towers of a model run."""

    def __init__(self, explainer: camscope.Explainer) -> None:
        model = explainer._model.adapter.model
        self.image = self.text = 0
        model.vision_model.register_forward_pre_hook(lambda *_: setattr(self, "image", self.image + 1))
        model.text_model.register_forward_pre_hook(lambda *_: setattr(self, "text", self.text + 1))


def test_the_image_is_encoded_once_and_each_caption_once(tokenizer):
    explainer = camscope.Explainer(clip(), tokenizer=tokenizer)
    explainer(X, targets=CAPTIONS[:2])
    counted = Counted(explainer)
    explainer(X, targets=CAPTIONS[:2], methods=["gradcam", "layercam", "hirescam"])
    assert (counted.image, counted.text) == (1, 0)
    explainer(X, targets=CAPTIONS)
    assert counted.text == 1


def test_captions_are_encoded_anew_when_the_model_has_learned(tokenizer):
    model = clip()
    explainer = camscope.Explainer(model, tokenizer=tokenizer)
    before = explainer(X, targets=CAPTIONS)
    with torch.no_grad():
        for parameter in model.text_model.parameters():
            parameter.mul_(1.5)
    after = explainer(X, targets=CAPTIONS)
    torch.testing.assert_close(
        after.logits, camscope.Explainer(model, tokenizer=tokenizer)(X, targets=CAPTIONS).logits
    )
    assert not torch.allclose(after.logits, before.logits, rtol=1e-3)


def test_a_similarity_alone_needs_no_caption(explainers):
    explainer = explainers("clip")
    e = explainer(X, targets=[Similarity(explainer.embed(X)), -Similarity(explainer.embed(X))])
    torch.testing.assert_close(e.scores[:, 0], torch.ones(2))


def test_captions_may_be_given_once_for_all(tokenizer):
    explainer = camscope.Explainer(clip(), tokenizer=tokenizer, class_names=CAPTIONS)
    best = explainer(X)
    assert [row[0].name for row in best.targets] == [CAPTIONS[i] for i in best.logits.argmax(1)]
    more = explainer(X, targets=[Caption("a horse"), "-a photo of a cat", TopK(2)])
    assert list(more.class_names) == [*CAPTIONS, "a horse"]
    assert [t.label for t in more.targets[0]][:2] == ["a horse", "not a photo of a cat"]


@pytest.mark.parametrize(
    "target",
    ["a photo of a cat vs a photo of a dog", Contrast("a photo of a cat", against="a photo of a dog")],
)
def test_one_caption_against_another(explainers, target):
    """Evidence for one less evidence for the other, as the map is linear in the logits' gradient."""
    e = explainers("clip")(X, targets=target, methods="hirescam")
    both = explainers("clip")(X, targets=CAPTIONS[:2], methods="hirescam").maps()
    torch.testing.assert_close(e.maps()[:, 0], both[:, 0] - 0.6 * both[:, 1], rtol=1e-3, atol=1e-6)


def test_each_photo_its_own_caption(explainers):
    e = explainers("clip")(X, targets=PerImage(CAPTIONS[:2]))
    expected = explainers("clip")(X, targets=CAPTIONS[:2])
    for i in range(2):
        torch.testing.assert_close(e.maps()[i, 0], expected.maps()[i, i])


METHODS = [
    "ablationcam",
    "scorecam(top=3)",
    "legrad",
    "chefer",
    "grad-eclip",
    "smooth(gradcam, n=2)",
    "finer(gradcam)",
]


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_method_runs(explainers, method):
    e = explainers("clip")(X, targets=CAPTIONS[:2], methods=method)
    assert torch.isfinite(e.maps()).all()
    assert e.maps().abs().max() > 0
    alone = explainers("clip")(X[1:], targets=CAPTIONS[:2], methods=method)
    if "smooth" not in method:  # whose noise goes by the image's place
        torch.testing.assert_close(e.maps()[1:], alone.maps(), rtol=2e-3, atol=1e-6)


def test_as_many_captions_as_images_stay_captions(explainers):
    """Two captions are not one for each of two images."""
    together = explainers("clip")(X, targets=CAPTIONS[:2], methods="ablationcam")
    three = explainers("clip")(X, targets=CAPTIONS, methods="ablationcam")
    torch.testing.assert_close(together.maps(), three.maps()[:, :2], rtol=1e-3, atol=1e-6)


def test_the_model_is_left_as_it_came(tokenizer, untouched):
    model = clip().train()
    with untouched(model):
        camscope.explain(model, X, targets=CAPTIONS, methods=["gradcam", "ablationcam"], tokenizer=tokenizer)


def test_a_single_caption_is_said_to_be_compared_with_nothing(explainers):
    e = explainers("clip")(X, targets=CAPTIONS[0])
    assert any("is the only caption, so it is compared with nothing" in note for note in e.notes)
    assert e.maps().abs().max() > 0


def test_what_is_missing_is_said(explainers, tokenizer):
    with pytest.raises(TargetError, match=r"compares images with captions, and none was given.*targets="):
        explainers("clip")(X)
    with pytest.raises(ModelError, match=r"no tokenizer came with it.*tokenizer=AutoTokenizer"):
        camscope.explain(clip(), X, targets=CAPTIONS)
    with pytest.raises(InputError, match="A caption is empty"):
        explainers("clip")(X, targets=[Caption(" "), Caption("a")])
    with pytest.raises(InputError, match=r"has \d+ tokens; the model takes 24"):
        explainers("clip")(X, targets="a very long caption that does not end for quite a while")
    other = open_clip()
    other.vocab_size = 100
    with pytest.raises(ModelError, match=r"does not use CLIP's own tokenizer.*get_tokenizer"):
        camscope.Explainer(other)
    with pytest.raises(ModelError, match="part of an open_clip model"):
        camscope.Explainer(open_clip().visual)


def test_a_folder_holds_model_processor_and_tokenizer(tmp_path, photos):
    place = tmp_path / "clip"
    saved(place)
    e = camscope.explain(f"hf:{place}", Image.fromarray(photos["cat"]), targets=CAPTIONS)
    assert e.maps().shape == (1, 3, 8, 8)
    assert e.provenance["preprocessing"]["input_size"] == (64, 64)


def test_photos_are_prepared_as_open_clip_does(photos):
    import open_clip as library

    model = open_clip()
    explainer = camscope.Explainer(model)
    theirs = library.image_transform(64, is_train=False)
    for photo in photos.values():
        image = Image.fromarray(photo)
        ours = explainer.preprocessing(image)
        np.testing.assert_allclose(ours, theirs(image).numpy(), atol=1e-5)


# ------------------------------------------------------------------ embeddings


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
            )
            self.head = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def test_similarity_is_the_cosine_by_hand():
    model, x = Embeds().double().eval(), X.double()
    explainer = camscope.Explainer(model, task="regression")
    to = explainer.embed(x[1:])[0]
    e = explainer(x, targets=[Similarity(to, "the second"), -Similarity(to)], methods=["hirescam", "gradcam"])
    A = model.body(x).detach().requires_grad_()
    cosine = nn.functional.cosine_similarity(model.head(A.mean((2, 3))), to[None])
    (g,) = torch.autograd.grad(cosine.sum(), A)
    torch.testing.assert_close(e.scores[:, 0], cosine.detach())
    torch.testing.assert_close(e.scores[:, 1], -cosine.detach())
    torch.testing.assert_close(e.maps("hirescam")[:, 0], (A * g).sum(1).detach())
    torch.testing.assert_close(e.maps("hirescam")[:, 1], -(A * g).sum(1).detach())
    assert [t.label for t in e.targets[0]] == ["similarity to the second", "not similarity to another"]
    assert float(cosine[1]) == pytest.approx(1)


@pytest.mark.parametrize(
    "method", ["ablationcam", "scorecam(top=3)", "smooth(gradcam, n=2)", "opticam(steps=2)"]
)
def test_each_image_may_be_compared_with_its_own(method):
    explainer = camscope.Explainer(Embeds().double().eval(), task="regression")
    to = explainer.embed(X.double().flip(0))
    e = explainer(X.double(), targets=Similarity(to), methods=method)
    for i in range(2):
        each = explainer(X.double(), targets=Similarity(to[i]), methods=method)
        torch.testing.assert_close(e.maps()[i], each.maps()[i], rtol=1e-6, atol=1e-10)
    rows = explainer(X.double(), targets=PerImage([Similarity(to[0]), Similarity(to[1])]), methods=method)
    torch.testing.assert_close(rows.maps(), e.maps())


def test_of_a_clip_model_it_is_that_of_the_images_vectors(explainers):
    explainer = explainers("clip")
    to = explainer.embed(X)
    torch.testing.assert_close(to.norm(dim=1), torch.ones(2))
    e = explainer(X, targets=[Similarity(to[0]), Caption("a cat")])
    torch.testing.assert_close(e.scores[:, 0], to @ to[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("to", "words"),
    [
        (np.ones(5), r"embedding of shape \(5,\): this model's have shape \(6,\)"),
        (np.ones((3, 6)), r"shape \(3, 6\).*or \(2, 6\) with one for each image"),
        (np.zeros(6), "zero, NaN or infinite has no meaning"),
    ],
)
def test_an_embedding_that_does_not_fit_says_which_would(to, words):
    with pytest.raises(TargetError, match=words):
        camscope.explain(Embeds().eval(), X, targets=Similarity(to), task="regression")


def test_captions_may_stand_on_the_model_and_are_titles_as_they_are(tokenizer):
    """A comma in a sentence separates no synonyms."""
    model = clip()
    model.class_names = CAPTIONS
    e = camscope.explain(model, X, targets=["two cows, far away", "-1"], tokenizer=tokenizer)
    assert list(e.class_names) == CAPTIONS
    assert e.titles[0] == ("two cows, far away", "not a photo of a dog")
