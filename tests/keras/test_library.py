"""What is known of Keras models: by the names of keras.applications, by first layers; and models from files."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import applications, layers, ops
from PIL import Image

import camscope
from camscope.arrays import to_numpy
from camscope.cli import main
from camscope.libraries import recognise
from camscope.libraries.keras.applications import FAMILIES, family_of
from tests.keras.nets import Subclassed, functional, in_a_branch, noise, seeded

MODULES = {
    "ResNet50": applications.resnet,
    "ResNet50V2": applications.resnet_v2,
    "VGG16": applications.vgg16,
    "VGG19": applications.vgg19,
    "DenseNet121": applications.densenet,
    "InceptionV3": applications.inception_v3,
    "InceptionResNetV2": applications.inception_resnet_v2,
    "Xception": applications.xception,
    "NASNetMobile": applications.nasnet,
    "MobileNet": applications.mobilenet,
    "MobileNetV2": applications.mobilenet_v2,
    "MobileNetV3Small": applications.mobilenet_v3,
    "EfficientNetB0": applications.efficientnet,
    "EfficientNetV2B0": applications.efficientnet_v2,
    "ConvNeXtTiny": applications.convnext,
}
NAMES = {
    "ResNet50": "resnet50",
    "ResNet50V2": "resnet50v2",
    "VGG16": "vgg16",
    "VGG19": "vgg19",
    "DenseNet121": "densenet121",
    "InceptionV3": "inception_v3",
    "InceptionResNetV2": "inception_resnet_v2",
    "Xception": "xception",
    "NASNetMobile": "nasnet_mobile",
    "MobileNet": "mobilenet_1.00_224",
    "MobileNetV2": "mobilenetv2_1.00_224",
    "MobileNetV3Small": "MobileNetV3Small",
    "EfficientNetB0": "efficientnetb0",
    "EfficientNetV2B0": "efficientnetv2-b0",
    "ConvNeXtTiny": "convnext_tiny",
}
"""What the models of keras.applications call themselves."""


def named(name: str, *first: Any, classes: int = 3) -> Any:
    """A small model of that name."""
    x = y = keras.Input((40, 40, 3))
    for layer in first:
        y = layer(y)
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(y))
    return seeded(keras.Model(x, layers.Dense(classes)(y), name=name))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Bytes of every value."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", MODULES)
def test_photos_are_prepared_as_the_family_does_it(name, photo):
    """A photo of the input's size already, so that nothing is resized."""
    first = [layers.Rescaling(1 / 255)] if FAMILIES[family_of(NAMES[name])]["mean"] == (0.0, 0.0, 0.0) else []
    _, info = recognise(named(NAMES[name], *first))
    found = info.preprocessing(photo).transpose(1, 2, 0)
    pixels = np.asarray(photo).astype(np.float32)
    expected = MODULES[name].preprocess_input(pixels.copy())
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV2", "EfficientNetB0", "ResNet50V2"])
def test_a_model_of_keras_applications_is_known(name):
    smaller = {"input_shape": (64, 64, 3), "weights": None}
    model = getattr(applications, name)(**smaller)
    assert model.name == NAMES[name].replace("224", "64")
    _, info = recognise(model)
    assert info.preprocessing.input_size == (64, 64)
    assert len(info.class_names) == 1000
    assert info.class_names[281] == "tabby, tabby cat"
    assert info.space == (1, 2)


def test_the_names_of_imagenet_are_timms():
    timm = pytest.importorskip("timm.data")
    names = timm.ImageNetInfo()
    from camscope.libraries.imagenet import imagenet_names

    assert list(imagenet_names()) == [names.index_to_description(i) for i in range(1000)]


def test_a_first_layer_that_scales_bytes_is_evidence(photo):
    for first in (layers.Rescaling(1 / 255), layers.Rescaling(1 / 127.5, offset=-1)):
        _, info = recognise(named("mine", first))
        np.testing.assert_allclose(
            info.preprocessing(photo).transpose(1, 2, 0), np.asarray(photo).astype(np.float32), atol=1e-4
        )
    bytes_ = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[60.0, 60.0, 60.0])
    assert recognise(named("mine", bytes_))[1].preprocessing is not None


def augmented() -> Any:
    return keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])


BYTES_FIRST = {
    "after augmentation": lambda x: layers.Rescaling(1 / 255)(augmented()(x)),
    "in a nested model": lambda x: keras.Sequential([layers.RandomFlip(), layers.Rescaling(1 / 255)])(x),
    "a division": lambda x: x / 255.0,
    "less and times": lambda x: (x - 127.5) * (1 / 127.5),
    "as Xception": applications.xception.preprocess_input,
    "as ResNet": applications.resnet.preprocess_input,
    "as DenseNet": applications.densenet.preprocess_input,
}


def after(first: Any, size: int | None = 40) -> Any:
    x = keras.Input((size, size, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="last")(first(x)))
    return seeded(keras.Model(x, layers.Dense(3)(y), name="mine"))


@pytest.mark.parametrize("first", BYTES_FIRST)
def test_what_scales_bytes_first_is_found_in_the_graph(first, photo):
    _, info = recognise(after(BYTES_FIRST[first]))
    assert "scales values up to 255" in info.preprocessing.source
    np.testing.assert_allclose(info.preprocessing(photo).transpose(1, 2, 0), np.asarray(photo), atol=1e-4)


@pytest.mark.parametrize(
    "first",
    [lambda x: x / 2.0, lambda x: x - 0.5, lambda x: x + x * x, lambda x: layers.Conv2D(3, 1)(x) / 255.0],
    ids=["half", "less a half", "of itself", "later"],
)
def test_other_arithmetic_is_no_evidence(first):
    assert recognise(after(first))[1].preprocessing is None


def test_a_model_that_resizes_its_photos_says_how_large(photo):
    model = after(lambda x: layers.Rescaling(1 / 255)(layers.Resizing(20, 24)(x)), size=None)
    _, info = recognise(model)
    assert info.preprocessing.input_size == (20, 24)
    _, info = recognise(after(layers.Rescaling(1 / 255), size=None))
    assert info.preprocessing is None
    with pytest.raises(camscope.InputError, match="the size is to be said: 0-255@224"):
        camscope.explain(after(layers.Rescaling(1 / 255), size=None), photo)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("0-1", lambda x: x / 255),
        ("-1-1", lambda x: x / 127.5 - 1),
        ("0-255", lambda x: x),
        ("keras:ResNet50", lambda x: applications.resnet.preprocess_input(x.copy())),
    ],
)
def test_a_model_of_ones_own_is_given_a_preprocessing_by_name(name, by_hand, photo, tmp_path, capsys):
    model = named("mine")
    model.save(tmp_path / "mine.keras")
    x = by_hand(np.asarray(photo).astype(np.float32))[None]
    expected = camscope.explain(model, x, targets=1, methods="gradcam")
    e = camscope.explain(model, photo, targets=1, methods="gradcam", preprocessing=name)
    np.testing.assert_allclose(e.logits, expected.logits, rtol=1e-4)
    photo.save(tmp_path / "photo.png")
    spec = f"keras:{tmp_path / 'mine.keras'}"
    ask = ["explain", str(tmp_path / "photo.png"), "--json", "--model", spec, "--out", str(tmp_path / "out")]
    assert main([*ask, "--target", "1", "--save", "npz"]) == 2
    assert "--preprocessing): 0-1, -1-1 or 0-255" in capsys.readouterr().err
    assert main([*ask, "--target", "1", "--save", "npz", "--preprocessing", name]) == 0
    (file,) = (tmp_path / "out").glob("*.npz")
    np.testing.assert_allclose(camscope.load(file).maps(), expected.maps(), rtol=1e-3, atol=1e-6)


def test_the_commands_of_the_page(photo, tmp_path, monkeypatch, capsys):
    """Those about a model of one's own, with files of these names."""
    page = (Path(__file__).parents[2] / "docs" / "guides" / "frameworks.md").read_text("utf-8")
    commands = [
        line.strip() for line in page.splitlines() if line.startswith("    camscope ") and "mine" in line
    ]
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    named("mine").save("mine.keras")
    photo.save("photo.jpg")
    Path("names.txt").write_text("ant\nbee\ncat\n")
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        assert main([*words, *(["--save", "npz"] if words[0] == "explain" else ["--json"])]) == 0
    assert {"ant", "bee", "cat"} <= set(camscope.load(next(tmp_path.glob("camscope-out/*.npz"))).class_names)
    listed = json.loads(capsys.readouterr().out.partition("[\n")[2].join(("[\n", "")))
    assert {"cam", "gradcam", "scorecam"} <= {one["name"] for one in listed if one["offered"]}


@pytest.mark.parametrize(
    "first", [[], [layers.Rescaling(2.0, offset=-1)]], ids=["nothing", "twice, less one"]
)
def test_anything_else_is_asked_for(first, photo):
    model = named("mine", *first)
    with pytest.raises(camscope.InputError, match=r"neither its name \('mine'\) nor a first layer"):
        camscope.explain(model, photo)
    e = camscope.explain(
        model, photo, preprocessing=camscope.Preprocessing(input_size=(40, 40)), methods="gradcam"
    )
    assert e.input_size == (40, 40)


def test_a_known_model_inside_another_is_named(photo):
    x = keras.Input((40, 40, 3))
    inner = named("resnet50")
    model = keras.Model(x, layers.Dense(2)(inner(x)), name="mine")
    with pytest.raises(camscope.InputError, match=r"'resnet50' inside it"):
        camscope.explain(model, photo)


def test_photos_and_tensors_of_the_framework_give_the_same_map(photo):
    model = named("resnet50")
    x = applications.resnet.preprocess_input(np.asarray(photo)[None].astype(np.float32).copy())
    maps = [
        to_numpy(camscope.explain(model, given, targets=1, methods="gradcam").maps())
        for given in (photo, x, ops.convert_to_tensor(x))
    ]
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-4)
    np.testing.assert_array_equal(maps[2], maps[1])


# ------------------------------------------------------------------ by name


@pytest.mark.slow
def test_an_untrained_model_by_name():
    explainer = camscope.Explainer("keras:MobileNetV3Small", weights="random")
    found, chosen = explainer.layers()
    assert chosen in found


def test_a_name_that_does_not_exist_names_the_nearest():
    with pytest.raises(camscope.ModelError, match=r"no model 'ResNet5'.*'ResNet50'"):
        camscope.Explainer("keras:ResNet5")


def test_weights_that_cannot_be_fetched(monkeypatch):
    def offline(*_: Any, **__: Any) -> None:
        raise Exception("URL fetch failure: no network")

    monkeypatch.setattr(applications, "ResNet50", offline)
    with pytest.raises(camscope.ModelError, match=r"could not fetch.*--weights random"):
        camscope.Explainer("keras:ResNet50")


# ------------------------------------------------------------------ by file


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
def test_a_saved_model_gives_the_same_maps(ending, tmp_path):
    net = in_a_branch()
    path = tmp_path / f"mine{ending}"
    net.model.save(path)
    expected = camscope.explain(net.model, net.inputs[0], targets=1, methods=["gradcam", "cam"])
    found = camscope.explain(f"keras:{path}", net.inputs[0], targets=1, methods=["gradcam", "cam"])
    for key in expected.raw:
        np.testing.assert_allclose(found.raw[key], expected.raw[key], atol=1e-6)
    assert found.provenance["weights_sha256"] == expected.provenance["weights_sha256"]


def test_weights_from_a_file(tmp_path):
    one, other = named("mine"), seeded(named("mine"), seed=5)
    other.save_weights(tmp_path / "w.weights.h5")
    (tmp_path / "net.py").write_text(
        "from tests.keras.test_library import named\ndef make():\n    return named('mine')\n"
    )
    x, path = noise(1, 40, 40, 3), tmp_path / "w.weights.h5"
    found = camscope.explain(f"{tmp_path}/net.py:make", x, weights=path, methods="gradcam")
    expected, untouched = (camscope.explain(model, x, methods="gradcam") for model in (other, one))
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    assert np.abs(found.logits - untouched.logits).max() > 1e-3
    wrong = functional().model
    wrong.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(camscope.ModelError, match="do not fit 'mine'"):
        camscope.Explainer(f"{tmp_path}/net.py:make", weights=tmp_path / "x.weights.h5")


def code_in_a_file(path: Path) -> Path:
    x = keras.Input((8, 8, 2))
    y = layers.Lambda(lambda x: x * 2)(layers.Conv2D(4, 3)(x))
    keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y))).save(path)
    return path


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_file_that_asks_to_run_code_is_refused(ending, tmp_path):
    path = code_in_a_file(tmp_path / f"code{ending}")
    with pytest.raises(camscope.ModelError, match=r"holds Python code.*--trust-pickle"):
        camscope.Explainer(f"keras:{path}")
    explainer = camscope.Explainer(f"keras:{path}", trust_pickle=True)
    assert explainer(noise(1, 8, 8, 2), methods="gradcam").maps().shape[0] == 1


class Unknown(layers.Layer):
    """Known to nobody who loads it."""

    def call(self, x: Any) -> Any:
        return x


def test_files_that_are_no_models(tmp_path):
    net = functional()
    net.model.save_weights(tmp_path / "only.weights.h5")
    (tmp_path / "only.h5").write_bytes((tmp_path / "only.weights.h5").read_bytes())
    x = keras.Input((8, 8, 2))
    keras.Model(x, Unknown()(layers.Conv2D(4, 3)(x))).save(tmp_path / "own.keras")
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "text.h5").write_text("no model")
    (tmp_path / "model.pb").write_text("no model")
    for name, message in {
        "only.weights.h5": "holds weights only",
        "only.h5": "holds weights only",
        "own.keras": "a class or function of your own",
        "text.keras": "not a readable Keras model: a .keras file is a zip archive",
        "text.h5": "not a readable Keras model",
        "absent.keras": "There is no file",
        "model.pb": "does not end in",
    }.items():
        with pytest.raises(camscope.ModelError, match=message) as raised:
            camscope.Explainer(f"keras:{tmp_path / name}")
        assert len(str(raised.value)) < 700, "no page of a traceback"
    with pytest.raises(camscope.ModelError, match="comes with its own weights"):
        camscope.Explainer(f"keras:{tmp_path / 'own.keras'}", weights="random")


def test_a_subclassed_model_that_is_registered_loads(tmp_path):
    model = Subclassed(name="own")
    model(ops.zeros((1, 6, 6, 2)))
    seeded(model).save(tmp_path / "own.keras")
    x = noise(2, 6, 6, 2)
    found = camscope.explain(f"keras:{tmp_path / 'own.keras'}", x, methods="gradcam", targets=1)
    np.testing.assert_allclose(
        found.maps(),
        camscope.explain(model, x, methods="gradcam", targets=1).maps(),
        atol=1e-5,
    )


# ------------------------------------------------------------------ refused in words


def test_a_model_without_positions_is_refused():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(2)])
    with pytest.raises(camscope.LayerError, match="no layer with a spatial grid"):
        camscope.explain(model, noise(1, 6))


def test_inputs_that_the_model_does_not_take():
    net = functional()
    with pytest.raises(camscope.InputError, match=r"it takes \(batch, 9, 9, 2\)"):
        camscope.explain(net.model, noise(1, 9, 9, 3))
    with pytest.raises(camscope.InputError, match=r"NaN or infinity, in image 0"):
        camscope.explain(net.model, np.full((1, 9, 9, 2), np.nan, np.float32))


def test_devices():
    net = functional()
    from camscope.models.keras import doorway

    assert doorway.move(net.model, "cpu") is net.model
    with pytest.raises(camscope.ModelError, match=r"keras\.device\('cuda:7'\)"):
        doorway.move(net.model, "cuda:7")
    with pytest.raises(camscope.ModelError, match="optimised= is for PyTorch"):
        camscope.Explainer(net.model, optimised=True)


def test_a_layer_object_is_a_layer():
    net = functional()
    layer = net.model.get_layer("b")
    named_, given = (
        camscope.explain(net.model, net.inputs[0], layers=one, methods="gradcam") for one in ("b", layer)
    )
    np.testing.assert_array_equal(named_.maps(), given.maps())
    with pytest.raises(camscope.LayerError, match="no layer of the model"):
        camscope.explain(net.model, net.inputs[0], layers=layers.Dense(2))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, 16, 16), r"Its channels come first: pass np\.moveaxis\(x, 1, -1\)"),
        ((1, 16, 16, 1), r"one channel for three: pass np\.repeat\(x, 3, axis=-1\)"),
        ((1, 16, 16, 4), r"fourth channel \(alpha\): pass x\[\.\.\., :3\]"),
        ((1, 16, 16, 2), r"it takes \(batch, 16, 16, 3\)\. It said"),
    ],
)
def test_channels_out_of_place_are_named_with_code_that_puts_them_right(shape, words):
    keras.utils.set_random_seed(0)  # four channels may all be dead
    inputs = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features)))
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    with pytest.raises(camscope.InputError, match=words) as caught:
        camscope.explain(model, x)
    code = str(caught.value).partition(": pass ")[2].partition(". It said")[0]
    if code:
        assert camscope.explain(model, eval(code, {"x": x, "np": np})).logits.shape == (1, 2)


def test_a_method_that_keras_cannot_give_is_refused_by_name():
    net = functional()
    with pytest.raises(camscope.MethodError, match="guided-gradcam"):
        camscope.explain(net.model, net.inputs[0], methods="guided-gradcam")
