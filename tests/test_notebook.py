"""A notebook is executed for real: every picture and table that one looks at is in its output."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

SOURCE = Path(__file__).parents[1] / "src"

SET_UP = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
import numpy as np, torch
import camscope

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(6, 8, 3, padding=1), torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3),
).eval()
explainer = camscope.Explainer(model, class_names=["ant", "bee", "cat"])
x = torch.randn(2, 3, 24, 24)
e = explainer(x, methods=["gradcam", "layercam"], targets=[0, 1])

class Reader(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.look = torch.nn.Embedding(9, 8), torch.nn.Conv1d(8, 6, 3, padding=1)
        self.fc = torch.nn.Linear(6, 2)

    def forward(self, numbers):
        return self.fc(self.look(self.words(numbers).transpose(1, 2)).relu().amax(2))

reader = camscope.Explainer(
    Reader().eval(), tokenizer={{w: i for i, w in enumerate("<pad> <unk> a film i loved from start end".split())}}
)
"""

CELLS = {
    "the explainer": "explainer",
    "bare": "e",
    "figure": 'e["gradcam"].figure()',
    "by methods": 'e.figure(by="methods", target=0)',
    "gallery": 'e["gradcam"].gallery()',
    "compare": 'camscope.compare(e["gradcam"], e["layercam"])',
    "overlay": "camscope.overlay(np.zeros((20, 30, 3), np.uint8), np.eye(4), opacity=1)",
    "layers": "explainer.layers(x)",
    "methods": "explainer.methods(x)",
    "all methods": "camscope.list_methods()",
    "words": 'reader("a film i loved").words()',
    "bare text": 'reader("a film i loved")',
    "text figure": 'reader("a film i loved").figure()',
    "one and another": 'for one in e["gradcam"]:\n    display(one.figure())',
    "mistake": "explainer(x, mehtods='cam')",
    "bar": "found = list(explainer.over([x, x], only=lambda e: e.scores[:, 0] < 1e9))\nlen(found)",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What stands under every cell."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SET_UP, *CELLS.values())]
    cells[1 + list(CELLS).index("mistake")].metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    folder = tmp_path_factory.mktemp("kernel")
    kernel = folder / "kernels" / "here" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "here", "language": "python"}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JUPYTER_PATH", str(folder))
        patched.setenv("IPYTHONDIR", str(folder / "ipython"))
        patched.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        client = nbclient.NotebookClient(
            notebook, kernel_name="here", timeout=300, resources={"metadata": {"path": folder}}
        )
        client.execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells[1:], strict=True)}


def pictures(found: list) -> list[np.ndarray]:
    """The pictures under a cell, those inside of HTML too."""
    encoded = [output.data["image/png"] for output in found if "image/png" in output.get("data", {})]
    for output in found:
        encoded += re.findall(r"data:image/png;base64,([^\"]+)", output.get("data", {}).get("text/html", ""))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in encoded]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bare", "figure", "by methods", "gallery", "compare", "text figure"])
def test_one_picture_stands_under_the_cell(outputs, name):
    (picture,) = pictures(outputs[name])
    height, width, _ = picture.shape
    assert min(height, width) > 60
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # a drawn one, and no blank sheet


def test_figures_in_a_loop_are_shown_by_display(outputs):
    assert len(pictures(outputs["one and another"])) == 2


def test_an_overlay_is_the_picture_itself(outputs):
    (picture,) = pictures(outputs["overlay"])
    assert picture.shape == (20, 30, 3)
    assert picture[1, 1].sum() > 400  # the diagonal of the map, bright
    assert picture[1, -2].sum() < 100


def text_of(found: list, kind: str) -> str:
    return "".join(output.data.get(kind, "") for output in found if "data" in output)


def test_what_is_explained_stands_beside_the_picture(outputs):
    html = text_of(outputs["bare"], "text/html")
    assert "gradcam, layercam" in html
    assert "<table" in html


def test_layers_and_methods_are_tables(outputs):
    layers = text_of(outputs["layers"], "text/html")
    assert layers.count("<tr>") == 5
    assert "reaches score" in layers
    assert "→" in text_of(outputs["layers"], "text/plain")
    assert "<td" in text_of(outputs["methods"], "text/html")
    assert "Selvaraju" in text_of(outputs["all methods"], "text/html")


def test_words_are_pairs_and_a_text_is_coloured(outputs):
    plain = text_of(outputs["words"], "text/plain")
    assert [word for word in ("a", "film", "i", "loved") if f"('{word}'" in plain] == [
        "a",
        "film",
        "i",
        "loved",
    ]
    coloured = text_of(outputs["bare text"], "text/html")
    assert re.search(r"background:#[0-9a-f]{6}[^>]*>loved<", coloured)


def test_the_explainer_is_a_line_and_a_mistake_an_error_that_names_the_right_word(outputs):
    assert text_of(outputs["the explainer"], "text/plain") == "Explainer(Sequential, 3 class names)"
    (error,) = outputs["mistake"]
    assert error.ename == "KeywordError"
    assert "Did you mean 'methods'" in error.evalue


def test_nothing_is_written_beside_a_loop_over_batches(outputs):
    said = [
        one for one in outputs["bar"] if "application/vnd.jupyter.widget-view+json" not in one.get("data", {})
    ]
    assert text_of(said, "text/plain") == "2"  # the bar is a widget that is closed
    assert not [output for output in outputs["bar"] if output.output_type == "stream"]
