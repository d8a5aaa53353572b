"""Another package adds one of everything, each in one file and one line of its metadata.

It is written into a temporary folder as an installer would leave it, and used in a Python of its own by public names
alone, so that no other test sees it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import camscope
from camscope.composition import Composition, composition, name_composition
from camscope.evidence import Evidence, Need
from camscope.libraries import Library, register_library
from camscope.methods import get_method, method
from camscope.results.figures import figure_kind

ROOT = Path(__file__).parents[1]

FILES = {
    # METHOD
    "loudest.py": '''
import camscope
from array_api_compat import array_namespace

@camscope.method("loudest", needs={camscope.Need.ACTIVATIONS}, advice="Shows the channel that is largest anywhere.",
                 class_specific=False)
def loudest(evidence: camscope.Evidence):
    """max_k A^k."""
    A = evidence.activations
    return array_namespace(A).max(A, axis=1, keepdims=True)
''',
    # COMPOSITION
    "less.py": '''
from dataclasses import dataclass
from typing import ClassVar
from camscope.composition import Copy, Wrapper, composition

@composition
@dataclass(frozen=True)
class Less(Wrapper):
    """The inner method on a paler picture."""

    by: float = 0.5
    word: ClassVar[str] = "less"

    def copies(self, setting):
        return [Copy(lambda x: x * self.by)]
''',
    # TARGET
    "runner_up.py": '''
from dataclasses import dataclass
from camscope.targets import Target, TopK, written

@written
@dataclass(frozen=True)
class RunnerUp(Target):
    """The class that is second."""

    sign: int = 1

    def resolved(self, outputs, class_names):
        return TopK(2, sign=self.sign).resolved(outputs, class_names)[1:2]

    @classmethod
    def read(cls, text, of, sign, names):
        return cls(sign) if text == "runner-up" else None
''',
    # FIGURE
    "bare.py": """
from camscope.results.figures import figure_kind

@figure_kind("map alone")
def bare(e, image=0, **style):
    from matplotlib.figure import Figure
    figure = Figure()
    figure.subplots().imshow(e.maps()[image, 0])
    figure.suptitle(e.targets[image][0].label)
    return figure
""",
    # ADAPTER
    "adapter.py": """
from camscope.models.registry import Framework
from camscope.models.runtime import RuntimeAdapter
from tests.conformance.numpy_runtime import NumpyRuntime

FRAMEWORK = Framework("Mine", "mine", __name__)

class Model:
    def __init__(self, network):
        self.network = network

def owns(given):
    return isinstance(given, Model)

def unwrap(model):
    return model

def adapt(model, decoder, *, task, optimised):
    return RuntimeAdapter(NumpyRuntime(model.network, decoder), decoder, task)

def move(model, device):
    return model
""",
    # LIBRARY
    "zoo.py": """
from camscope.images import Preprocessing
from camscope.libraries import Library, ModelInfo
from mine.adapter import Model
from tests.conformance import networks

LIBRARY = Library(__name__, package="mine", scheme="mine")
KINDS = {"small": networks.classifier, "deep": networks.hidden_head}

def recognise(given):
    return given, ModelInfo(preprocessing=Preprocessing(input_size=(16, 16)), class_names=list("abcde"), name="a Mine")

def create(name, pretrained=True):
    return recognise(Model(KINDS[name]()))
""",
}
ENTRY_POINTS = """
[camscope.methods]
loudest = mine.loudest
less = mine.less

[camscope.targets]
runner-up = mine.runner_up

[camscope.figures]
bare = mine.bare

[camscope.adapters]
mine = mine.adapter:FRAMEWORK

[camscope.libraries]
zoo = mine.zoo:LIBRARY
"""

USE = """
import json, sys
import numpy as np
import camscope
from camscope.composition import parse
from camscope.models.registry import Framework, register_framework
from camscope.targets import parse_target
from tests.conformance import reference
from tests.conformance.networks import classifier, random_batch

# the first thing asked of a fresh Python: nothing of the package has been looked for yet
said = {"parsed": parse("less(loudest, by=0.25)").name, "target": repr(parse_target("not:runner-up"))}
said["listed"] = [m.name for m in camscope.list_methods() if m.name == "loudest"]

explainer = camscope.Explainer("mine:small")
photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
e = explainer(photo, methods="cam", targets="runner-up")
said["class"] = e.targets[0][0].name
said["second"] = e.top(2)[1][1]
said["model"] = e.provenance["model_name"]
figure = e.figure(by="map alone")
said["title"] = figure.get_suptitle()
said["drawn"] = bool((figure.axes[0].images[0].get_array() == e.maps()[0, 0]).all())

x = random_batch()
from mine.adapter import Model  # the user's own object, not by name
of = camscope.Explainer(Model(classifier()))(x, methods=["loudest", "less(loudest)"])
for name, factor in (("loudest", 1), ("less(loudest)", 0.5)):
    expected = reference.outputs_of(classifier(), factor * x)["last_relu"].max(1, keepdims=True)
    said[name] = float(np.abs(of.maps(name)[:, :1] - expected).max())
said["names"] = list(of.class_names)

# the user's own, registered after all of these were found, stays the first that is asked
register_framework(Framework("Later", "later", "later.doorway"))
for what, call in {
    "framework": lambda: camscope.Explainer(object()),
    "scheme": lambda: camscope.Explainer("mime:small"),
    "figure": lambda: e.figure(by="map along"),
    "method": lambda: parse("loudset"),
}.items():
    try:
        call()
    except camscope.CamscopeError as error:
        said[what] = str(error)
said["torch"] = "torch" in sys.modules
print(json.dumps(said))
"""


def install(folder: Path, files: dict[str, str], entries: str, name: str = "mine") -> Path:
    """A package as an installer leaves it."""
    package, info = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    for file, text in files.items():
        (package / file).write_text(text, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python that has the package, beside this repository."""
    path = os.pathsep.join([str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"), FILES, ENTRY_POINTS)


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, Any]:
    """What came of using everything."""
    done = python(folder, "-c", USE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_method(said: dict[str, Any]):
    assert said["listed"] == ["loudest"]
    assert said["loudest"] < 1e-5
    assert "Did you mean 'loudest'" in said["method"]


def test_a_composition_is_read_as_text_and_run(said: dict[str, Any]):
    assert said["parsed"] == "less(loudest, by=0.25)"
    assert said["less(loudest)"] < 1e-5


def test_a_target_is_written_like_any_other(said: dict[str, Any]):
    assert said["target"] == "RunnerUp(sign=-1)"
    assert said["class"] == said["second"]


def test_a_figure_is_drawn_and_named_among_the_others(said: dict[str, Any]):
    assert said["title"] == said["class"]
    assert said["drawn"]
    assert "by targets, methods, channels, map alone. Did you mean 'map alone'?" in said["figure"]


def test_an_adapter_takes_its_own_objects(said: dict[str, Any]):
    assert "expected a model of Later, Mine, PyTorch" in said["framework"]
    assert not said["torch"], "a framework that is not needed is not loaded"


def test_a_librarys_models_are_had_by_name_and_recognised(said: dict[str, Any]):
    assert said["model"] == "a Mine"
    assert said["names"] == list("abcde")
    assert "Did you mean 'mine'" in said["scheme"]
    assert "mine:NAME" in said["scheme"]


def test_the_command_knows_them_too(folder: Path):
    done = python(folder, "-m", "camscope", "methods", "--json")
    assert done.returncode == 0, done.stderr
    (mine,) = (m for m in json.loads(done.stdout) if m["name"] == "loudest")
    assert mine["formula"] == "max_k A^k."
    assert mine["needs"] == ["activations"]


def test_a_package_that_cannot_be_loaded_is_named(tmp_path: Path):
    install(
        tmp_path, {"broken.py": "import no_such_module"}, "[camscope.methods]\nx = theirs.broken\n", "theirs"
    )
    done = python(tmp_path, "-m", "camscope", "methods")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "error: 'theirs.broken', which the package 'theirs' adds to camscope.methods as 'x'" in said
    assert "No module named 'no_such_module'. Mend that package, or uninstall it." in said


def test_nothing_of_it_is_left_here():
    with pytest.raises(camscope.MethodError):
        camscope.composition.parse("loudest")
    assert "mine" not in sys.modules


# ------------------------------------------------------------------ what is refused


def test_a_name_is_taken_once():
    def impostor(evidence: Any) -> Any:
        """Another formula."""

    with pytest.raises(camscope.MethodError, match="already a method 'gradcam'"):
        method("gradcam", needs={Need.ACTIVATIONS}, advice="")(impostor)
    with pytest.raises(camscope.MethodError, match="already a composition 'smooth'"):
        composition(type("Impostor", (Composition,), {"word": "smooth"}))
    with pytest.raises(camscope.InputError, match="already a figure by 'targets'"):
        figure_kind("targets")(impostor)


def test_a_method_says_its_formula():
    with pytest.raises(camscope.MethodError, match=r"'mute' has no docstring"):
        method("mute", needs={Need.ACTIVATIONS}, advice="")(lambda evidence: evidence.activations)
    with pytest.raises(camscope.MethodError, match="There is no method 'mute'"):
        camscope.composition.parse("mute")


def test_needs_are_a_set():
    with pytest.raises(camscope.MethodError, match=r"expected a set of needs"):
        method("lone", needs=Need.ACTIVATIONS, advice="")(lambda evidence: evidence.activations)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "class_specific", "message"),
    [
        (
            lambda e: e.activations[:, 0],
            True,
            r"shape \(2, 4, 4\) for a batch of 2. Expected batch, target and 2 axes",
        ),
        (lambda e: e.activations[:1], True, r"shape \(1, 3, 4, 4\) for a batch of 2"),
        (
            lambda e: e.activations,
            False,
            r"shape .*; the target axis has size 1, as it is not class-specific",
        ),
    ],
)
def test_a_map_of_another_shape_is_refused_naming_the_method(function, class_specific, message):
    mine = replace(get_method("gradcam"), base="mine", function=function, class_specific=class_specific)
    with pytest.raises(camscope.MethodError, match=f"'mine' gave a map of {message}"):
        mine(Evidence(activations=np.ones((2, 3, 4, 4), dtype=np.float32)))


def grad_cam(evidence: Any) -> Any:
    """A method of another module, by the name of a function of this package."""


def test_a_function_of_the_same_name_in_another_module_takes_no_name():
    with pytest.raises(camscope.MethodError, match="already a method 'gradcam'"):
        method("gradcam", needs={Need.ACTIVATIONS}, advice="")(grad_cam)


def test_methods_and_compositions_share_their_names():
    with pytest.raises(camscope.MethodError, match="already a composition 'smooth'"):
        method("smooth", needs={Need.ACTIVATIONS}, advice="")(grad_cam)
    with pytest.raises(camscope.MethodError, match="already a method 'gradcam'"):
        composition(type("Impostor", (Composition,), {"word": "gradcam"}))
    with pytest.raises(camscope.MethodError, match="already a method 'gradcam'"):
        name_composition(camscope.composition.parse("smooth(gradcam)"), "gradcam", "", "", "")


def test_a_name_is_registered_as_it_is_read():
    with pytest.raises(camscope.MethodError, match="The name 'Loud' is read as 'loud'"):
        method("Loud", needs={Need.ACTIVATIONS}, advice="")(grad_cam)


def test_a_scheme_is_taken_once():
    with pytest.raises(camscope.InputError, match="already models named timm:"):
        register_library(Library("mine", scheme="timm"))


@pytest.mark.parametrize(
    ("group", "kind", "use"),
    [("libraries", "Library", "camscope.Explainer(3)"), ("adapters", "Framework", "camscope.Explainer(3)")],
)
def test_an_entry_point_of_another_kind_names_its_package(tmp_path, group, kind, use):
    (tmp_path / "wrong.py").write_text("")
    metadata = tmp_path / "wrong-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[camscope.{group}]\nmine = wrong\n")
    done = python(tmp_path, "-c", f"import camscope\n{use}")
    assert f"'wrong', which the package 'wrong' adds to camscope.{group} as 'mine'" in done.stderr
    assert f"expected a {kind}, got a module. Mend" in done.stderr
