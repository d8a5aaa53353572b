"""The engine of the page, asked over HTTP: each answer is what the library says, and what is wrong is said in words."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope.app import built_page
from tests.app.conftest import HOSTILE, colours, module_of, png

pytest.importorskip("fastapi", reason="needs the app extra")
httpx = pytest.importorskip("httpx")


def numbers(grid: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(grid["values"]), "<f4").reshape(grid["shape"])


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


# ------------------------------------------------------------------ what is held


def test_the_state_names_all_that_is_there_and_why_a_model_failed(served):
    wait_for(lambda: all(one["status"] != "loading" for one in served.get("/api/state")["models"]))
    state = served.get("/api/state")
    good, named, broken = state["models"]
    assert (good["status"], good["kind"], good["classes"]) == ("ready", "classifier", 3)
    assert good["default_method"] == "gradcam"
    assert named["status"] == "failed"
    assert "Did you mean 'timm:resnet18'?" in named["error"]
    assert named["spec"] == "timm:resnt18"
    assert "ZeroDivisionError" in broken["error"]
    photo = state["photos"][0]
    assert (photo["name"].rsplit("/", 1)[-1], photo["given"]) == ("given.png", True)
    assert state["runs"] == [{"id": "r1", "name": "a run", "rows": 48, "complete": True}]
    assert state["trainings"][0]["name"] == "maps"
    said = served.refused("/api/explain", model="m2", photo=photo["id"])
    assert said == {"error": named["error"], "kind": "ModelError"}


def test_a_dropped_photo_is_among_the_photos_from_then_on_and_that_of_a_row_is_not(served):
    dropped = served.dropped()
    of_row = served.get("/api/runs/r1/rows/0")["photos"][0]["id"]
    there = {one["id"]: one["given"] for one in served.get("/api/state")["photos"]}
    assert there[dropped] is False
    assert of_row not in there
    assert served.client.get(f"/api/photos/{of_row}/picture").status_code == 200


def test_dropped_photos_can_be_seen_and_a_broken_one_is_named(served):
    files = [("files", ("a.png", png(), "image/png")), ("files", ("b.jpg", b"no photo", "image/jpeg"))]
    found = served.client.post("/api/photos", files=files).json()
    (photo,), (failed,) = found["photos"], found["failed"]
    assert (photo["name"], photo["size"]) == ("a.png", [40, 60])
    assert failed["name"] == "b.jpg"
    assert "no image" in failed["error"]
    answer = served.client.get(f"/api/photos/{photo['id']}/picture", params={"side": 30})
    assert answer.headers["content-type"] == "image/webp"
    import io

    picture = Image.open(io.BytesIO(answer.content)).convert("RGB")
    assert picture.size == (30, 20)
    red = np.asarray(picture, int)[10, 25]
    assert red[0] > 200
    assert red[1:].max() < 60
    assert served.client.post("/api/photos", files=files[1:]).status_code == 422


# ------------------------------------------------------------------ maps


def test_an_explanation_is_that_of_the_library_with_all_methods_layers_and_targets_from_one_forward(served):
    photo = served.dropped(png("red"))
    module = module_of(served.session.models.of("m1").explainer)
    served.post("/api/explain", model="m1", photo=photo)  # layers and heads are looked at
    before = module.forwards
    view = served.post(
        "/api/explain",
        model="m1",
        photo=photo,
        methods=["gradcam", "hirescam"],
        layers=["pooled"],
        targets=["0", "not:1", "blue"],
    )
    assert module.forwards - before == 1
    assert view["layers"] == ["pooled"]
    shown = view["photos"][0]
    assert [target["title"] for target in shown["targets"]][::2] == ["red", "blue"]
    assert len(shown["maps"]) == 6
    assert (shown["id"], view["model_id"], view["engine"], view["automatic"]) == (photo, "m1", True, False)
    import io

    again = colours()(
        Image.open(io.BytesIO(png("red"))),
        methods=["gradcam", "hirescam"],
        layers="pooled",
        targets=["0", "not:1", "blue"],
    )
    for found in shown["maps"]:
        raw = again.raw[found["method"], found["layer"]][0, found["target"]]
        np.testing.assert_allclose(numbers(found), raw, atol=1e-6)
    assert served.client.get(shown["picture"]).status_code == 200
    assert view["methods"][0]["advice"]


def test_what_was_answered_is_not_computed_again(served):
    photo = served.dropped()
    wish = {"model": "m1", "photo": photo, "targets": ["1"]}
    first = served.post("/api/explain", **wish)
    before = module_of(served.session.models.of("m1").explainer).forwards
    assert served.post("/api/explain", **wish, page="a tab") == first
    assert module_of(served.session.models.of("m1").explainer).forwards == before


@pytest.mark.parametrize(
    ("wish", "kind", "words"),
    [
        ({"methods": ["gradcm"]}, "MethodError", "Did you mean 'gradcam'"),
        ({"layers": ["poled"]}, "LayerError", "pooled"),
        ({"targets": ["rad"]}, "TargetError", "Did you mean 'red'"),
        ({"targets": ["7"]}, "TargetError", "7"),
        ({"at": {"box": [0, 0, 5, 5]}}, "TargetError", "detectors"),
        ({"at": {"class": "red"}}, "TargetError", "score every position"),
        ({"method": "gradcam"}, "RequestError", "method"),
        ({"side": 3}, "RequestError", "side"),
        ({"methods": ["rollout"]}, "ModelError", "attention"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_the_librarys_words(served, wish, kind, words):
    said = served.refused("/api/explain", model="m1", photo=served.dropped(), **wish)
    assert said["kind"] == kind
    assert words in said["error"]


def test_a_newer_wish_of_a_page_takes_the_place_of_one_that_has_not_begun(served, held):
    photo = served.dropped()
    with ThreadPoolExecutor(4) as pool:
        ask = lambda seed, page: pool.submit(  # noqa: E731
            served.client.post,
            "/api/explain",
            json={"model": "m1", "photo": photo, "seed": seed, "page": page},
        )
        worker = served.session.models.of("m1").worker
        running = ask(101, "one")
        wait_for(lambda: worker._waiting == 1)
        older = ask(102, "one")
        wait_for(lambda: worker._waiting == 2)
        other = ask(103, "another")
        wait_for(lambda: worker._waiting == 3)
        newer = ask(104, "one")
        assert older.result(20).status_code == 409
        assert older.result().json()["kind"] == "SupersededError"
        held.held.set()
        assert [one.result(30).status_code for one in (running, other, newer)] == [200, 200, 200]


def test_who_goes_away_before_it_has_begun_is_not_waited_for(served, held):
    photo = served.dropped()
    worker = served.session.models.of("m1").worker
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            served.client.post, "/api/explain", json={"model": "m1", "photo": photo, "seed": 201}
        )
        wait_for(lambda: worker._waiting == 1)
        with pytest.raises(httpx.ReadTimeout):
            served.client.post("/api/explain", json={"model": "m1", "photo": photo, "seed": 202}, timeout=0.3)
        wait_for(lambda: worker._waiting == 1)
        before = held.forwards
        held.held.set()
        assert running.result(30).status_code == 200
    one = held.forwards - before
    served.post("/api/explain", model="m1", photo=photo, seed=203)
    assert held.forwards - before - one <= one + 1  # nothing but this one was run since


# ------------------------------------------------------------------ what there is to choose from


def test_layers_methods_and_classes_of_a_model(served):
    layers = served.get("/api/models/m1/layers")
    assert layers["automatic"] == "pooled"
    assert [one["name"] for one in layers["layers"] if one["automatic"]] == ["pooled"]
    assert layers["layers"][-1]["grid"] == [4, 4]
    methods = {one["name"]: one for one in served.get("/api/models/m1/methods")["methods"]}
    assert set(methods) == {one.name for one in camscope.list_methods()}
    assert methods["gradcam"]["offered"]
    (known,) = (one for one in camscope.list_methods() if one.name == "gradcam")
    assert (methods["gradcam"]["advice"], methods["gradcam"]["cost"]) == (known.advice, known.cost)
    assert not methods["rollout"]["offered"]
    assert methods["rollout"]["why_not"]
    assert served.get("/api/models/m1/classes", q="navy")["classes"] == [
        {"index": 2, "name": "blue, navy blue"}
    ]
    assert [one["index"] for one in served.get("/api/models/m1/classes", q="2")["classes"]] == [2]
    assert served.get("/api/models/m1/classes", q="rde")["classes"] == [{"index": 0, "name": "red"}]
    assert served.get("/api/models/m1/classes", q="", limit=2)["found"] == 3
    assert "neither detects" in served.get("/api/models/m1/instances", photo=served.dropped())["why"]
    assert served.client.get("/api/models/m9/layers").json()["kind"] == "NotFoundError"
    assert served.client.get("/api/models/m2/layers").json()["kind"] == "ModelError"


def test_photos_come_between_two_methods_that_are_tried(served):
    """To try all methods takes seconds: who asks for a map meanwhile does not wait for all of them."""
    model = served.session.models.of("m1")
    photo = served.dropped()
    served.post("/api/explain", model="m1", photo=photo)
    model._offers = None
    with ThreadPoolExecutor(2) as pool:
        tried = pool.submit(served.get, "/api/models/m1/methods")
        wait_for(lambda: model._offers is not None)
        served.post("/api/explain", model="m1", photo=photo, seed=55)
        assert not tried.done()
        same = pool.submit(served.get, "/api/models/m1/methods")
        assert tried.result(60) == same.result(60)
    assert len(tried.result()["methods"]) == len(camscope.list_methods())


def test_cells_add_up_to_the_logit_where_the_head_is_linear(served):
    photo = served.dropped()
    found = served.post("/api/cells", model="m1", photo=photo, layer="pooled", top=3)
    assert found["exact"]
    assert found["grid"] == [4, 4]
    assert len(found["cells"]) == 16
    every = np.zeros((16, 3))
    for cell, said in enumerate(found["cells"]):
        assert [one["value"] for one in said] == sorted((one["value"] for one in said), reverse=True)
        for one in said:
            every[cell, one["index"]] = one["value"]
    view = served.post("/api/explain", model="m1", photo=photo, targets=["0", "1", "2"])
    np.testing.assert_allclose(
        every.mean(0), [target["score"] for target in view["photos"][0]["targets"]], atol=1e-5
    )
    one = served.post("/api/cells", model="m1", photo=photo, layer="pooled", top=3, row=1, column=2)
    assert one["cells"] == [found["cells"][6]]
    assert found["classes"]["1"] == f"green {HOSTILE}"
    said = served.refused("/api/cells", model="m1", photo=photo, row=4, column=0)
    assert "4 × 4" in said["error"]


# ------------------------------------------------------------------ parts that are hidden


def test_scores_of_a_photo_with_a_part_hidden(served):
    """The left half of the photo is black, the right one red; what is hidden by the mean has the channels' means."""
    photo = served.dropped(png("red", (36, 36)))
    right = [[0, 1]]
    hidden = served.post("/api/scores", model="m1", photo=photo, mask=right, fill="mean", targets=["red"])
    (target,) = hidden["targets"]
    assert hidden["removed"] == pytest.approx(0.5, abs=0.04)
    # the crop sees 16 black and 16 red columns: the mean of red is 1/2, which then stands in the right half
    assert target["before"]["score"] == pytest.approx(8 * (0.5 - 0.33), abs=0.3)
    assert target["after"]["score"] == pytest.approx(8 * (0.25 - 0.33), abs=0.3)
    assert target["before"]["probability"] > target["after"]["probability"]
    kept = served.post(
        "/api/scores", model="m1", photo=photo, mask=right, fill="mean", mode="keep", targets=["red"]
    )
    assert kept["targets"][0]["after"]["score"] == pytest.approx(8 * (0.75 - 0.33), abs=0.3)
    nothing = served.post("/api/scores", model="m1", photo=photo, mask=[[0]], targets=["red"])
    assert nothing["removed"] == 0
    assert nothing["targets"][0]["before"] == nothing["targets"][0]["after"]
    view = served.post("/api/explain", model="m1", photo=photo)["photos"][0]["top"]
    assert [one["name"] for one in hidden["classes"]] == [one["name"] for one in view]
    np.testing.assert_allclose(
        [one["before"]["probability"] for one in hidden["classes"]],
        [one["probability"] for one in view],
        rtol=1e-4,
    )
    few = served.post("/api/scores", model="m1", photo=photo, mask=right, fill="mean", top=1)["classes"]
    assert {one["name"] for one in few} == {  # each is known with the change and without it
        max(hidden["classes"], key=lambda one: one[when]["score"])["name"] for when in ("before", "after")
    }
    packed = {"shape": [1, 2], "values": base64.b64encode(bytes([0, 255])).decode()}
    same = served.post("/api/scores", model="m1", photo=photo, mask=packed, fill="mean", targets=["red"])
    assert same == hidden


def test_a_blurred_part_is_blurred_as_the_project_blurs(served):
    """What the server answers is what the library's own blur gives, put there by hand."""
    from camscope.images import read_photo_bytes
    from camscope.imputing import Blur

    content = png("red", (36, 36))
    photo = served.dropped(content)
    found = served.post("/api/scores", model="m1", photo=photo, mask=[[0, 1]], targets=["red"])
    explainer = colours()
    given = explainer.prepare(read_photo_bytes(content, "a"))
    removed = np.zeros((1, 32, 32), bool)
    removed[:, :, 16:] = True
    with explainer.altering(given, targets=["red"]) as seen:
        said = seen.masked(0, 1, lambda _: Blur()(seen.inputs, removed))
    assert found["targets"][0]["after"]["score"] == pytest.approx(float(said.scores[0, 0]), abs=1e-5)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ([[0, 1], [1]], "one length"),
        ([], "one length"),
        ([[3.0]], "0 … 1"),
        ({"shape": [2, 2], "values": "AAAA"}, "4, one for each"),
        ({"shape": [2, 2], "values": "?"}, "base64"),
    ],
)
def test_a_mask_that_is_none_is_refused(served, mask, words):
    assert words in served.refused("/api/scores", model="m1", photo=served.dropped(), mask=mask)["error"]


# ------------------------------------------------------------------ trust


def events(lines) -> list[tuple[str, dict]]:
    found, name = [], ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
    return found


def test_a_verdict_comes_with_its_probes_and_is_that_of_the_library(served):
    content = png("red", (36, 36))
    wish = {
        "model": "m1",
        "photo": served.dropped(content),
        "method": "gradcam",
        "target": "red",
        "probes": 64,
    }
    with served.client.stream("POST", "/api/trust", json=wish) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
    *progress, (last, verdict) = found
    assert last == "verdict"
    assert progress[0][1]["done"] == 0
    assert [data["done"] for _, data in progress] == sorted(data["done"] for _, data in progress)
    assert progress[-1][1]["done"] == progress[-1][1]["total"] >= 64
    from camscope.images import read_photo_bytes

    judgement = colours().trust(
        read_photo_bytes(content, "a.png"), methods="gradcam", targets="red", probes=64, progress=False
    )
    assert verdict["words"] == judgement.verdict
    (row,), (own,) = verdict["rows"], judgement.to_dict(probes=False)["rows"]
    assert (row["verdict"], row["says"], row["probes"]) == (own["verdict"], own["says"], own["probes"])
    assert row["fidelity"] == pytest.approx(own["fidelity"], abs=1e-3)


def test_a_verdict_that_nobody_waits_for_is_given_up_between_two_batches(served):
    photo = served.dropped()
    module = module_of(served.session.models.of("m1").explainer)
    wish = {"model": "m1", "photo": photo, "probes": 100_000}
    with served.client.stream("POST", "/api/trust", json=wish) as answer:
        for line in answer.iter_lines():
            if '"done":0' not in line and line.startswith("data"):
                break
    served.post("/api/explain", model="m1", photo=photo, seed=301)  # the model is free again
    after = module.forwards
    time.sleep(0.2)
    assert module.forwards == after
    assert not [thread for thread in threading.enumerate() if "trust" in thread.name]


def test_a_verdict_of_what_is_not_there_is_refused_before_anything_is_streamed(served):
    said = served.refused("/api/trust", model="m1", photo=served.dropped(), method="gradcm")
    assert said["kind"] == "MethodError"
    said = served.refused("/api/trust", model="m1", photo=served.dropped(), probes=3)
    assert "32 at least" in said["error"]


# ------------------------------------------------------------------ the page


def test_the_page_is_the_built_one_and_says_that_there_is_an_engine(served):
    answer = served.client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    text = answer.text
    start = text.index('type="application/json">') + len('type="application/json">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert data["engine"] is True
    assert data["colormaps"][0]["name"] == "inferno"
    script = served.client.get("/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.text == built_page.built("page.js")
    assert served.client.get("/page.css").status_code == 200
