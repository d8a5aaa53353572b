"""`explanation.show()` in a real notebook; and its widgets in a real browser, as a notebook's page runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import camscope
from camscope.errors import InputError
from tests.app.browsing import eventually

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("anywidget", reason="needs the extra notebook")

SOURCE = Path(__file__).parents[2] / "src"
HOSTILE = "<img src=x onerror=parent.document.title='caught'>"
WIDGET = "application/vnd.jupyter.widget-view+json"

SET_UP = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
import numpy as np, torch
from PIL import Image
import camscope

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 6, 8, stride=8), torch.nn.ReLU(), torch.nn.Conv2d(6, 8, 3, padding=1), torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3),
).eval()
preprocessing = camscope.Preprocessing(input_size=(64, 64), resize=64, mean=(0.0,) * 3, std=(1.0,) * 3)
explainer = camscope.Explainer(model, preprocessing=preprocessing, class_names=["ant", {HOSTILE!r}, "</script>cat"])
noise = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
photos = [Image.fromarray(one).resize((120, 80)) for one in noise]
e = explainer(photos, methods=["gradcam", "layercam"], targets=[0, 1])
"""

CELLS = {
    "first": "e.show()",
    "second": "e.show(title='Another', height=500)",
    "held": "page = camscope.app.widget(e)\npage.shown = {'threshold': 0.25}\npage.shown",
    "texts": "explainer(torch.rand(1, 3, 64, 64) * 2 - 1, targets=[0]).show()",
    "without": (
        "import sys\nsys.modules['anywidget'] = None\nsys.modules.pop('camscope.app.notebook_widget')\ne.show()"
    ),
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The notebook after it was run: outputs below its cells, and the state of its widgets."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SET_UP, *CELLS.values())]
    made = nbformat.v4.new_notebook(cells=cells)
    folder = tmp_path_factory.mktemp("kernel")
    kernel = folder / "kernels" / "here" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "here", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("IPYTHONDIR", str(folder))
        return nbclient.NotebookClient(made, timeout=120, kernel_name="here").execute()


def outputs(notebook, name: str) -> list:
    return notebook.cells[1 + list(CELLS).index(name)].outputs


def state(notebook, name: str) -> dict:
    """What the widget below a cell has told the notebook."""
    (shown,) = [one.data[WIDGET] for one in outputs(notebook, name) if WIDGET in one.get("data", {})]
    return notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"][shown["model_id"]][
        "state"
    ]


@pytest.mark.slow
def test_a_notebook_has_a_widget_and_the_figure_for_where_none_runs(notebook):
    (shown,) = outputs(notebook, "first")
    assert {WIDGET, "text/html"} <= set(shown.data)
    assert "<img" in shown.data["text/html"]
    assert state(notebook, "second")["height"] == 500
    assert "Another" in state(notebook, "second")["page"]
    (held,) = outputs(notebook, "held")
    assert held.data["text/plain"] == "{'threshold': 0.25}"


def test_without_anywidget_the_figure_is_shown_and_what_to_install(notebook):
    (shown,) = outputs(notebook, "without")
    assert set(shown.data) == {"text/html", "text/plain"}
    assert "camscope[notebook]" in shown.data["text/html"]
    assert "<img" in shown.data["text/html"]


def test_a_tensor_is_shown_too(notebook):
    (shown,) = outputs(notebook, "texts")
    assert WIDGET in shown.data


def test_elsewhere_it_says_what_shows_it():
    with pytest.raises(InputError, match=r"camscope\.report\(e, 'report\.html'\)"):
        camscope.explain("demo", "sample:cat").show()


PAGE = """<!doctype html><html lang="en"><title>a notebook</title>
<body><div id="first"></div><div id="second"></div><script type="module">
const made = {};
for (const name of ["first", "second"]) {
  const state = JSON.parse(document.getElementById(name + "-state").textContent);
  const listeners = {};
  const model = {
    get: (key) => state[key], set: (key, value) => { state[key] = value; }, save_changes: () => {},
    on: (event, call) => { listeners[event] = call; }, off: (event) => { delete listeners[event]; },
  };
  const address = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
  const widget = (await import(address)).default;
  const end = widget.render({ model, el: document.getElementById(name) });
  made[name] = { state, listeners, end };
}
window.made = made;
</script></body></html>"""


@pytest.fixture(scope="module")
def page(browser, notebook, tmp_path_factory):
    """Two widgets on one page, each from what the notebook has kept of it."""
    file = tmp_path_factory.mktemp("page") / "notebook.html"
    kept = "".join(
        f'<script type="application/json" id="{name}-state">'
        + json.dumps(dict(state(notebook, name))).replace("<", "\\u003c")
        + "</script>"
        for name in ("first", "second")
    )
    file.write_text(PAGE.replace('<script type="module">', f'{kept}<script type="module">'), "utf-8")
    opened = browser.new_page(viewport={"width": 1100, "height": 1300})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(file.as_uri())
    yield opened
    assert opened.title() == "a notebook"
    opened.close()
    assert errors == []


def test_two_widgets_share_nothing_and_tell_what_is_shown(page):
    first, second = (page.frame_locator(f"#{name} iframe") for name in ("first", "second"))
    first.get_by_role("button", name="layercam").first.click()
    page.keyboard.press("j")
    eventually(page, lambda: page.evaluate("made.first.state.shown.photo") == 1)
    assert page.evaluate("made.first.state.shown.shown[0].method") == "layercam"
    assert page.evaluate("made.second.state.shown.photo ?? 0") == 0
    assert first.locator("h1").inner_text() == "image 1"
    assert second.locator("h1").inner_text() == "image 0"


def test_a_widget_shows_what_python_says(page):
    page.evaluate(
        "() => { const { state, listeners } = made.second;"
        " state.shown = { ...state.shown, photo: 1, threshold: 0.5 }; listeners['change:shown'](); }"
    )
    second = page.frame_locator("#second iframe")
    eventually(page, lambda: second.locator("h1").inner_text() == "image 1")
    assert second.get_by_label("Hide below").input_value() == "0.5"


def test_names_in_a_widget_are_text_and_its_frame_reaches_nothing(page):
    second = page.frame_locator("#second iframe")
    assert second.get_by_role("button", name=HOSTILE).count() >= 1
    frame = next(frame for frame in page.frames if frame.parent_frame is not None)
    assert (
        frame.evaluate("() => { try { return parent.document.title; } catch { return 'kept out'; } }")
        == "kept out"
    )


def test_a_widget_that_is_taken_away_listens_no_more(page):
    page.evaluate("made.second.end()")
    assert page.evaluate("Object.keys(made.second.listeners).length") == 0
