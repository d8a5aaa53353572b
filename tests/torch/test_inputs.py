"""What goes in: tensors of any precision and number of axes, photos of any size; what is wrong is said."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from camscope.images import to_photo
from tests.torch.nets import ANYWHERE, HAND_MADE, Apply, Net, batch, case_name, gap_head, mlp_head

X = batch(2, 3, 16, 16)
PREPROCESSING = camscope.Preprocessing(
    input_size=(16, 16), resize=20, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
)


# ---------------------------------------------------------------------- tensors that are refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_input_that_is_not_finite_is_refused_naming_the_images(value):
    x = batch(4, 3, 16, 16)
    x[1, 0, 3, 4] = x[3, 2, 0, 0] = value
    with pytest.raises(camscope.InputError, match=r"NaN or infinity, in image 1, 3 of the batch"):
        camscope.explain(Net(), x)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("head.3.weight", float("nan")),
        ("head.3.bias", float("inf")),
        ("body.0.bias", float("inf")),
        ("stem.1.running_mean", float("nan")),
    ],
)
def test_weights_that_are_not_finite_are_refused_naming_the_parameter(where, value):
    model = Net(gap_head())
    with torch.no_grad():
        model.state_dict()[where].view(-1)[0] = value
    with pytest.raises(camscope.ModelError, match=rf"weights hold NaN or infinity: {where}"):
        camscope.explain(model, X)


def test_an_output_that_overflows_is_refused():
    model = Net(nn.Sequential(*gap_head(), Apply(lambda z: z * float("inf"))))
    with pytest.raises(camscope.ModelError, match="although its input and weights are finite: it overflows"):
        camscope.explain(model, X)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), r"torch.uint8.*Pass the photo itself"),
        (torch.zeros(0, 3, 16, 16), r"batch is empty: shape \(0, 3, 16, 16\)"),
        (torch.zeros(16, 16), r"Expected a batch.*got shape \(16, 16\)"),
        (torch.tensor(1.0), r"Expected a batch.*got shape \(\)"),
        ([torch.zeros(3, 16, 16)], r"photos only, not Tensor.*torch.stack"),
        ([torch.zeros(3, 16, 16), "photo.jpg"], r"photos only, not Tensor, str"),
        ([], "list of photos is empty"),
        (None, "Cannot explain NoneType"),
        (3.5, "Cannot explain float"),
        (
            {"pixel_values": X},
            r"inputs \(pixel_values\) do not fit Net, whose forward takes \(x: .*missing",
        ),
        ({}, "None of the inputs is one that maps could be of"),
        ({"a": "text"}, "'text' does not exist"),
        ((X[:, 0, 0], 3), r"None of the inputs is one that maps could be of.*0: \(2, 16\), 1: int"),
    ],
    ids=[
        "integers",
        "empty",
        "no batch",
        "scalar",
        "tensors",
        "mixed",
        "no photos",
        "None",
        "float",
        "dict",
        "nothing",
        "a text",
        "no space",
    ],
)
def test_what_is_no_batch_is_refused(x, words):
    explainer = camscope.Explainer(Net(), preprocessing=PREPROCESSING)
    with pytest.raises(camscope.InputError, match=words):
        explainer(x)


def test_an_image_without_its_batch_axis_is_refused():
    with pytest.raises(
        camscope.InputError, match=r"shape \(3, 16, 16\).*without its batch axis: pass x\[None\]"
    ):
        camscope.explain(Net(), X[0])
    with pytest.raises(camscope.InputError, match=r"without its batch axis"):
        camscope.explain(Net(gap_head(dims=3), dims=3), batch(3, 8, 8, 8))


@pytest.mark.parametrize(
    ("given", "looks", "code"),
    [
        (lambda x: x.movedim(1, -1), "images with their channels last", r"x.movedim(-1, 1)"),
        (
            lambda x: x[0].movedim(0, -1),
            "one image with its channels last and without",
            "x.movedim(-1, 0)[None]",
        ),
        (lambda x: x[:, :1], "images of one channel, where it takes 3", "x.expand(-1, 3, -1, -1)"),
        (lambda x: torch.cat([x, x[:, :1]], 1), "images with a fourth channel", "x[:, :3]"),
        (lambda x: x[0], "one image without its batch axis", "x[None]"),
    ],
)
def test_axes_out_of_place_are_named_with_code_that_puts_them_right(given, looks, code):
    x = given(X)
    with pytest.raises(camscope.InputError) as caught:
        camscope.explain(Net(), x)
    assert f"The model does not run on shape {tuple(x.shape)}, which looks like {looks}" in str(caught.value)
    assert f"pass {code}, of shape" in str(caught.value)
    camscope.explain(Net(), eval(code, {"x": x}))


@pytest.mark.parametrize(
    ("x", "code"),
    [
        (X, "x.mean(1, keepdim=True)"),
        (X.movedim(1, -1), "x.mean(-1)[:, None]"),
        (X[0].movedim(0, -1), "x.mean(-1)[None, None]"),
        (X[:, 0], "x[:, None]"),
    ],
)
def test_colours_for_a_model_of_grey_images_are_named_with_code_that_makes_them_grey(x, code):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    with pytest.raises(camscope.InputError) as caught:
        camscope.explain(model, x)
    assert f"pass {code}, of shape" in str(caught.value)
    assert camscope.explain(model, eval(code, {"x": x})).logits.shape[1] == 2


def test_code_that_is_named_has_been_tried():
    """Another part of the model does not run whatever is done to the axes, so nothing is said of them."""

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            raise ValueError("mine")

    for x in (X, X.movedim(1, -1)):
        with pytest.raises(ValueError, match=r"^mine$"):
            camscope.explain(Broken(), x)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (
            np.zeros((2, 3, 16, 16), np.float32),
            r"channels first.*np.moveaxis\(x, 1, -1\).*torch.from_numpy\(x\)",
        ),
        (np.zeros((3, 16, 16), np.float32), r"torch.from_numpy\(photo\)\[None\]"),
        (torch.zeros(16, 16, 3, dtype=torch.uint8), r"to have it preprocessed: x.numpy\(\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), r"preprocessed: x.movedim\(1, -1\).numpy\(\)"),
    ],
)
def test_arrays_and_bytes_say_how_they_are_given(x, words):
    with pytest.raises(camscope.InputError, match=words):
        camscope.explain(Net(), x, preprocessing=PREPROCESSING)


def test_a_photo_for_a_model_that_does_not_say_how_to_prepare_it_is_refused():
    with pytest.raises(
        camscope.InputError, match=r"does not say how its photos are prepared.*preprocessing="
    ):
        camscope.explain(Net(), Image.new("RGB", (20, 20)))


def test_what_is_no_model_is_refused():
    with pytest.raises(camscope.ModelError, match="Cannot explain a function"):
        camscope.Explainer(lambda x: x)
    with pytest.raises(camscope.ModelError, match="for models given by name"):
        camscope.Explainer(Net(), device="cpu")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"methods": []}, camscope.MethodError, "list of methods is empty"),
        ({"methods": "gradcam+"}, camscope.MethodError, r"no method 'gradcam\+'. Did you mean 'gradcam"),
        ({"methods": [3]}, camscope.MethodError, "not as int"),
        ({"layers": []}, camscope.LayerError, "list of layers is empty"),
    ],
    ids=case_name,
)
def test_calls_that_ask_for_nothing_or_for_what_is_not_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        camscope.explain(Net(), X, **call)


# ---------------------------------------------------------------------- precision and memory layout


def test_the_input_follows_the_models_precision():
    model = Net(mlp_head(16)).eval()
    single = camscope.explain(model, X, methods=ANYWHERE, layers="body", targets=1)
    double = camscope.explain(copy.deepcopy(model).double(), X, methods=ANYWHERE, layers="body", targets=1)
    for method in ANYWHERE:
        assert double.maps(method).dtype == torch.float64
        torch.testing.assert_close(single.maps(method).double(), double.maps(method), rtol=1e-4, atol=1e-5)
    assert camscope.explain(model, X.double(), targets=1).maps().dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("head", [lambda: gap_head(), lambda: mlp_head(16)], ids=["gap", "mlp"])
def test_half_precision_gives_single_precision_maps_close_to_the_true_ones(dtype, head):
    model = Net(head()).eval()
    call = {"methods": ANYWHERE, "layers": ["stem", "body"], "targets": [1, camscope.Class(2, "probability")]}
    single = camscope.explain(model, X, **call)
    half = camscope.explain(copy.deepcopy(model).to(dtype), X, **call)
    assert half.scores.dtype == torch.float32
    for key, maps in half.raw.items():
        assert maps.dtype == torch.float32
        expected = single.raw[key]
        tolerance = 16 * torch.finfo(dtype).eps
        assert (maps - expected).abs().max() <= tolerance * expected.abs().max(), key


def test_half_precision_does_not_lose_small_gradients():
    """g³ of Grad-CAM++ underflows in half precision for g < 4e-3; the maps must not be blank."""
    model = Net(nn.Sequential(*mlp_head(16), Apply(lambda z: z * 1e-3))).half()
    e = camscope.explain(model, X, methods=["gradcam++", "gradcam++-official"], layers="body", targets=1)
    for method in e.methods:
        assert e.status[method, "body"][0][0] == "ok"
        assert e.maps(method).abs().max() > 0


def test_channels_last_memory_changes_nothing():
    model = Net(mlp_head(16)).eval()
    call = {"methods": ANYWHERE, "layers": ["stem", "body"], "targets": [0, 3]}
    plain = camscope.explain(model, X, **call)
    moved = copy.deepcopy(model).to(memory_format=torch.channels_last)
    last = camscope.explain(moved, X.contiguous(memory_format=torch.channels_last), **call)
    for key, maps in last.raw.items():
        torch.testing.assert_close(maps, plain.raw[key], rtol=1e-4, atol=1e-6)


def test_a_strided_or_expanded_input_is_explained_like_its_copy():
    model = Net(mlp_head(16)).eval()
    for x in (X[:1].expand(3, -1, -1, -1), batch(2, 3, 32, 32)[:, :, ::2, ::2], X.flip(3).transpose(2, 3)):
        ours, copied = (
            camscope.explain(model, y, methods=HAND_MADE, layers="body", targets=1) for y in (x, x.clone())
        )
        for key, maps in ours.raw.items():
            torch.testing.assert_close(maps, copied.raw[key], rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------------- signals, pictures, volumes


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    ("dims", "size"), [(1, (40,)), (2, (16, 24)), (3, (8, 16, 12))], ids=["1D", "2D", "3D"]
)
@pytest.mark.parametrize("head", ["gap", "mlp"])
def test_every_method_keeps_every_axis(dims, size, channels, head):
    grid = tuple(n // 4 for n in size)
    cells = int(np.prod(grid))
    model = Net(gap_head(dims=dims) if head == "gap" else mlp_head(cells), dims=dims, channels=channels)
    x = batch(2, channels, *size)
    methods = [*ANYWHERE, "cam"] if head == "gap" else ANYWHERE
    e = camscope.explain(model, x, methods=methods, layers="body", targets=[0, 1, 2])
    for method in methods:
        assert e.maps(method).shape == (2, 3, *grid)
        heat = e.heatmaps(method)
        assert heat.shape == (2, 3, *size)
        assert heat.isfinite().all()
        assert heat.min() >= 0
        assert heat.max() <= 1
    A = model.eval().body(model.stem(x)).detach()
    torch.testing.assert_close(e.maps("mean-activation")[:, 0], A.mean(1))
    assert len(camscope.explain(model, x).layers) == 1


@pytest.mark.parametrize("dims", [1, 3])
def test_a_signal_or_volume_has_no_picture_but_a_heatmap_and_boxes(dims):
    model = Net(gap_head(dims=dims), dims=dims)
    e = camscope.explain(model, batch(1, 3, *(16,) * dims))
    with pytest.raises(camscope.InputError, match="not a picture"):
        e.input_image()
    (boxes,) = e.boxes()[0]
    assert all(len(box) == 2 * dims for box in boxes)


# ---------------------------------------------------------------------- photos


@pytest.fixture
def photo_explainer() -> camscope.Explainer:
    return camscope.Explainer(Net().eval(), preprocessing=PREPROCESSING)


def test_a_photo_is_the_same_photo_as_path_picture_and_array(photo_explainer, tmp_path: Path, photos):
    pixels = photos["cat"]
    path = tmp_path / "cat.png"
    Image.fromarray(pixels).save(path)
    x = torch.from_numpy(PREPROCESSING(to_photo(pixels)))[None]
    expected = photo_explainer(x, methods=ANYWHERE, targets=[0, 1])
    for given in (path, str(path), Image.fromarray(pixels), pixels, [path], pixels[None]):
        e = photo_explainer(given, methods=ANYWHERE, targets=[0, 1])
        assert len(e) == 1
        for key, maps in e.raw.items():
            torch.testing.assert_close(maps, expected.raw[key])
        assert e.input_image().picture.size == (pixels.shape[1], pixels.shape[0])
        assert e.photo_heatmaps(method="gradcam").shape == (2, *pixels.shape[:2])


def test_photos_of_different_sizes_share_a_batch_and_each_keeps_its_own(photo_explainer, photos):
    names = ["cat", "rocket", "astronaut"]
    together = photo_explainer([photos[name] for name in names], targets=[2])
    assert together.maps().shape == (3, 1, 4, 4)
    for i, name in enumerate(names):
        alone = photo_explainer(photos[name], targets=[2])
        torch.testing.assert_close(together.maps()[i], alone.maps()[0], rtol=1e-4, atol=1e-6)
        shape = photos[name].shape[:2]
        assert together.photo_heatmaps(i).shape == (1, *shape)
        np.testing.assert_allclose(together.photo_heatmaps(i), alone.photo_heatmaps(), atol=1e-4)
        assert together[i].input_image().picture.size == shape[::-1]


def test_a_library_models_own_preprocessing_is_used_and_said(zoo, photos):
    e = camscope.explain(zoo("timm:resnet10t"), photos["cat"], methods="mean-activation")
    assert e.provenance["preprocessing"] is not None
    assert e.input_size == tuple(zoo("timm:resnet10t").pretrained_cfg["input_size"][-2:])
    e = camscope.explain(zoo("torchvision:resnet18"), photos["cat"], methods="mean-activation")
    assert e.input_size == (224, 224)
    assert any("presumed" in note for note in e.notes)


def test_a_tensor_is_not_preprocessed_again(photo_explainer):
    e = photo_explainer(X * 50, methods="mean-activation", layers="body")
    model = Net().eval()
    torch.testing.assert_close(e.maps()[:, 0], model.body(model.stem(X * 50)).detach().mean(1))
    assert e.provenance["preprocessing"] is None
