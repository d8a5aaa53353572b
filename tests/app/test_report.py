"""Reports: what is in them, what is refused, and that no name in them is more than text."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from camscope.app import View, write_report
from camscope.app.run_report import side_of
from camscope.errors import InputError

HOSTILE = "</script><script>alert('x')</script>"


class Colours(nn.Module):
    """Its maps are the red and the green of a photo, less a third: there is evidence against, too."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = nn.AvgPool2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pooled(x - 0.33)[:, :2].mean((2, 3))


@pytest.fixture(scope="module")
def explainer() -> camscope.Explainer:
    preprocessing = camscope.Preprocessing(
        input_size=(32, 32), resize=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    return camscope.Explainer(
        Colours().eval(), preprocessing=preprocessing, class_names=["red", f"green {HOSTILE}"]
    )


@pytest.fixture(scope="module")
def explained(explainer) -> camscope.Explanation:
    photos = [Image.new("RGB", (60, 40), colour) for colour in ("red", "lime")]
    photos[0].paste((0, 0, 0), (0, 0, 30, 40))
    return explainer(photos, methods=["gradcam", "hirescam"], targets=[0, 1], layers="pooled")


class Read(html.parser.HTMLParser):
    """The scripts, styles and policy of a page, as a browser reads it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts: list[tuple[str, dict[str, str], str]] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.parts.append((tag, dict(attrs), ""))
        if tag == "meta" and dict(attrs).get("http-equiv"):
            self.policy = dict(attrs)["content"]

    def handle_endtag(self, tag):
        self.parts.append(("", {}, ""))

    def handle_data(self, data):
        if self.parts:
            tag, attrs, text = self.parts[-1]
            self.parts[-1] = (tag, attrs, text + data)

    def texts(self, tag: str) -> list[str]:
        return [text for one, _, text in self.parts if one == tag]

    @property
    def view(self) -> dict:
        (text,) = [text for _, attrs, text in self.parts if attrs.get("id") == "camscope-view"]
        return json.loads(text)


def test_a_report_holds_the_maps_and_where_they_lie(explained, tmp_path):
    view = View("Two colours")
    view.add(explained)
    (path,) = write_report(view, tmp_path / "r.html")
    page = Read(path.read_text("utf-8"))
    assert page.texts("title") == ["Two colours"]
    assert page.view["photos"][0]["size"] == [40, 60]
    for one in page.view["photos"][0]["maps"]:
        values = np.frombuffer(base64.b64decode(one["values"]), "<f4").reshape(one["shape"])
        np.testing.assert_array_equal(values, explained.raw[one["method"], one["layer"]][0, one["target"]])
    for key in page.view["keys"]:
        raw = explained.raw[key["method"], key["layer"]].clamp(min=0)
        assert key["range"] == pytest.approx([float(raw.min()), float(raw.max())])


def test_the_picture_is_small_and_its_geometry_is_that_of_the_small_one(explainer):
    view = View("", side=100)
    view.add(explainer([Image.new("RGB", (400, 200), "red")], targets=[0], layers="pooled"))
    (photo,) = view.photos
    assert photo["size"] == [200, 400]
    assert photo["geometry"]["photo_size"] == [50, 100]
    assert photo["geometry"]["scale"] == pytest.approx([32 / 50, 64 / 100])
    assert photo["geometry"]["offset"] == pytest.approx([0, -16])


def test_names_are_text_and_nothing_but_the_page_runs(explained, tmp_path):
    view = View(f"a title {HOSTILE}")
    view.add(explained)
    view.photos[0]["name"] = HOSTILE
    (path,) = write_report(view, tmp_path / "r.html")
    page = Read(path.read_text("utf-8"))
    assert len(page.texts("script")) == 2
    assert page.view["photos"][0]["name"] == HOSTILE
    assert HOSTILE in page.view["photos"][0]["targets"][1]["title"]
    for kind, tag in (("script", "script"), ("style", "style")):
        code = page.texts(tag)[-1]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert not re.search(r"https?://", path.read_text("utf-8").replace("http://www.w3.org", ""))


def test_a_large_report_becomes_several_files_that_lead_to_one_another(explained, tmp_path):
    view = View("many")
    for _ in range(5):
        view.add(explained)
    size = len(json.dumps(view.photos[0]))
    written = write_report(view, tmp_path / "r.html", largest=int(4.5 * size))
    assert [path.name for path in written] == ["r.html", "r-2.html", "r-3.html"]
    pages = [Read(path.read_text("utf-8")).view for path in written]
    assert sum(len(page["photos"]) for page in pages) == 10
    assert [one["here"] for one in pages[1]["pages"]] == [False, True, False]
    assert pages[0]["pages"][0]["first"] == 1
    assert pages[2]["pages"][-1]["last"] == 10


def test_two_hundred_photos_stay_below_ten_megabytes(tmp_path):
    explainer = camscope.Explainer("demo")
    view = View("", side=side_of(200))
    view.add(explainer(["sample:cat", "sample:motorcycle"], methods=["gradcam", "layercam"]))
    view.photos = view.photos * 100
    (path,) = write_report(view, tmp_path / "r.html")
    assert path.stat().st_size < 10_000_000


def test_what_a_report_cannot_show_is_refused(explained, explainer, tmp_path):
    view = View("")
    with pytest.raises(InputError, match="nothing to report on"):
        write_report(view, tmp_path / "r.html")
    view.add(explained)
    with pytest.raises(InputError, match=r"such as .*r\.html"):
        write_report(view, tmp_path / "r.txt")
    with pytest.raises(InputError, match="There is no folder"):
        write_report(view, tmp_path / "nowhere" / "r.html")
    with pytest.raises(InputError, match="explained otherwise"):
        view.add(explained["gradcam"])
    volume = camscope.explain(
        nn.Sequential(nn.Conv3d(1, 2, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten()).eval(),
        torch.randn(1, 1, 9, 9, 9),
        layers="0",
    )
    with pytest.raises(InputError, match=r"photos, sounds and texts, .* without pictures"):
        View("").add(volume)


def test_a_signal_is_reported_on_a_picture_of_its_wave():
    x = torch.zeros(1, 1, 8)
    x[..., 4:] = 1
    e = camscope.explain(
        nn.Sequential(nn.Conv1d(1, 2, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval(), x, layers="0"
    )
    view = View("")
    view.add(e)
    (photo,) = view.photos
    assert photo["maps"][0]["shape"] == [1, 8]
    assert photo["axes"] == {"time": [0, 8], "unit": "steps"}
    picture = Image.open(BytesIO(base64.b64decode(photo["picture"].split(",")[1]))).convert("L")
    light = np.asarray(picture) > 100
    assert light.shape == (256, 1024)
    rows = np.array([column.nonzero()[0].mean() for column in light.T])
    assert rows[:500] == pytest.approx(127.5, abs=3)  # zero lies in the middle
    assert rows[524:] == pytest.approx(0, abs=3)  # one above


def test_numbers_that_json_has_not_become_null(explained):
    import dataclasses

    logits = explained.logits.clone()
    logits[0, 1] = float("-inf")
    view = View("")
    view.add(dataclasses.replace(explained, logits=logits))
    assert json.dumps(view.to_dict(), allow_nan=False)


def test_explanations_batch_by_batch_become_one_report_with_labels(explainer, tmp_path):
    photos = [Image.new("RGB", (60, 40), colour) for colour in ("red", "lime", "maroon")]
    batches = [(photos[:2], [0, 0]), (photos[2:], [0])]
    explained = explainer.over(batches, layers="pooled", progress=False)
    (path,) = camscope.report(explained, tmp_path / "r.html", spec="demo")
    view = Read(path.read_text("utf-8")).view
    assert [photo["wrong"] for photo in view["photos"]] == [False, True, False]
    assert view["title"] == "Where Colours looks"
    assert view["spec"] == "demo"
    with pytest.raises(InputError, match="type str"):
        camscope.report(["photo.jpg"], tmp_path / "r.html")
    with pytest.raises(InputError, match=r"\.html file"):
        camscope.report(explainer.over(1 / 0 for _ in "x"), tmp_path / "r.pdf")  # before any work is done
