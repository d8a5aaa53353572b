"""Hugging Face video models, which take frames before channels, and models that put out an embedding."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from torch import nn

import camscope
from camscope import Similarity

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "num_frames": 8,
}
TEXT = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
VIDEO = torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def build(name: str, kind: str = "", **config: object) -> nn.Module:
    kind = kind or name.split("For")[0].removesuffix("Model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(hf, name)(getattr(hf, f"{kind}Config")(**config)).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.2)
    return model


MODELS = {
    "VideoMAE": lambda: build("VideoMAEForVideoClassification", patch_size=8, tubelet_size=2, **TINY),
    "Vivit": lambda: build("VivitForVideoClassification", tubelet_size=[2, 8, 8], **TINY),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_video_keeps_its_axes(name):
    model = MODELS[name]()
    e = camscope.explain(model, VIDEO, targets=[0, 1], methods=["gradcam", "hirescam", "ablationcam"])
    assert e.maps("hirescam").shape == (2, 2, 4, 4, 4)
    assert e.heatmaps("hirescam").shape == (2, 2, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(e.logits, model(VIDEO).logits)
    alone = camscope.explain(model, VIDEO[1:], targets=[0, 1], methods="hirescam")
    torch.testing.assert_close(alone.maps(), e.maps("hirescam")[1:], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "method", ["scorecam(top=2)", "smooth(gradcam, n=2)", "fullgrad", "augment(gradcam, [flip])"]
)
def test_altered_videos_are_videos(method):
    e = camscope.explain(MODELS["VideoMAE"](), VIDEO, targets=1, methods=method)
    assert torch.isfinite(e.maps()).all()
    assert e.maps().abs().max() > 0


def test_what_moves_in_time_and_space_is_found_there():
    """A frame's patch that alone is not black, in a model that adds patches up: the map is there and nowhere else."""

    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv3d(3, 6, (2, 8, 8), (2, 8, 8), bias=False)
            self.head = nn.Linear(6, 4, bias=False)

        def forward(self, video: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(video).relu().mean((2, 3, 4)))

    video = torch.zeros(1, 3, 8, 32, 32)
    video[:, :, 4:6, 16:24, 8:16] = 1
    heat = camscope.explain(Adds().eval(), video, targets=1, methods="hirescam").maps().abs()
    assert (heat > 0).nonzero().tolist() == [[0, 0, 2, 2, 1]]


def test_tokens_that_count_frames_before_places_keep_their_place():
    """TimeSformer looks at frames one by one; its tokens are all frames of a place, then those of the next."""
    model = build("TimesformerForVideoClassification", patch_size=8, **TINY)
    video = VIDEO[:1]
    layer = "timesformer.encoder.layer.1"
    e = camscope.explain(model, video, targets=1, methods="hirescam", layers=layer)
    kept = []
    module = model.get_submodule(layer)
    handle = module.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    score = model(video).logits[0, 1]
    handle.remove()
    start = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    (gradient,) = torch.autograd.grad(score, start)
    tokens = (start * gradient).sum(-1)[0, 1:].detach()
    expected = torch.stack([tokens[frame::8].reshape(4, 4) for frame in range(8)])
    assert bool((expected != 0).any())
    torch.testing.assert_close(e.maps()[0, 0], expected, rtol=1e-3, atol=1e-5)


def test_a_video_and_texts_are_compared_by_their_vectors():
    """VideoPrism's own logits are shares in the videos of the batch: of one video, 1 for every text."""
    vision = {
        **TINY,
        "patch_size": 8,
        "num_auxiliary_layers": 1,
        "num_spatial_layers": 2,
        "num_temporal_layers": 1,
    }
    vision = {**vision, "tubelet_size": [1, 8, 8]}
    text = {**TEXT, "num_hidden_layers": 1, "vocab_size": 30, "max_position_embeddings": 8}
    model = build("VideoPrismClipModel", "VideoPrism", vision_config=vision, text_config=text)
    inputs = {"pixel_values_videos": VIDEO, "input_ids": torch.tensor([[1, 5, 2], [1, 9, 2], [1, 7, 2]])}
    e = camscope.explain(model, inputs, targets=[0, 2])
    with torch.no_grad():
        out = model(**inputs)
    torch.testing.assert_close(e.logits, out.video_embeds @ out.text_embeds.T)
    torch.testing.assert_close(e.probabilities, out.logits_per_text.T)
    assert e.heatmaps().shape == (2, 2, 8, 32, 32)
    assert not torch.allclose(e.maps()[:, 0], e.maps()[:, 1])


def test_where_the_logits_are_does_not_change_how_it_is_called():
    model = MODELS["VideoMAE"]()
    e = camscope.explain(model, VIDEO, targets=1, output="logits")
    assert torch.equal(e.maps(), camscope.explain(model, VIDEO, targets=1).maps())


def test_an_image_is_no_video():
    with pytest.raises(
        camscope.InputError,
        match=r"over the axes \(1, 3, 4\) of the input.*of shape \(2, 3, 32, 32\) has 1, 2, 3",
    ):
        camscope.explain(MODELS["VideoMAE"](), VIDEO[:, 0])


def test_a_model_without_a_head_gives_an_embedding():
    size = {k: v for k, v in TINY.items() if k not in ("num_frames", "intermediate_size")}
    model = build("Dinov2Model", patch_size=8, **size)
    explainer, x = camscope.Explainer(model), VIDEO[:, 0]
    vectors = explainer.embed(x)
    with torch.no_grad():
        torch.testing.assert_close(vectors, model(x).pooler_output)
    e = explainer(x, targets=Similarity(vectors[0]))
    torch.testing.assert_close(e.scores[0, 0], torch.tensor(1.0))
    assert e.maps().shape == (2, 1, 4, 4)


def test_features_with_axes_are_averaged_over_these():
    sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 2, 2]}
    model = build("SegformerModel", **sizes)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(x).last_hidden_state.mean((2, 3))
    torch.testing.assert_close(camscope.Explainer(model).embed(x), expected)


def test_a_model_of_ones_own_is_what_it_puts_out():
    """Whatever its class is called."""

    class MyNet(hf.PreTrainedModel):
        config_class = hf.PretrainedConfig

        def __init__(self, config: hf.PretrainedConfig) -> None:
            super().__init__(config)
            self.conv, self.head = nn.Conv2d(3, 6, 3, 2), nn.Linear(6, 2)
            self.post_init()

        def forward(self, pixel_values: torch.Tensor) -> object:
            logits = self.head(self.conv(pixel_values).relu().mean((2, 3)))
            return hf.modeling_outputs.ImageClassifierOutput(logits=logits)

    model = MyNet(hf.PretrainedConfig(id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})).eval()
    e = camscope.explain(model, VIDEO[:, 0], targets="yes")
    assert e.provenance["task"] == "multiclass"
    assert e.maps().shape == (2, 1, 15, 15)
