"""`camscope trust`: what people read, what programs read, which files there are, and what goes wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

import camscope
from camscope.cli.price import telling_price
from camscope.images import find_photos
from camscope.trust import Cost, RunCost, Verdict, load
from tests.cli.brightness import SPEC
from tests.cli.test_texts import FACTORY
from tests.libraries.sounds import noise, saved

MODEL = ("--model", SPEC, "--probes", "64")


@pytest.fixture
def lamp(run) -> str:
    """A dark photo with a lamp in a corner, which is all that is bright."""
    pixels = np.random.default_rng(0).integers(0, 40, (72, 72, 3), dtype=np.uint8)
    pixels[8:28, 44:66] = 250
    Image.fromarray(pixels).save("lamp.png")
    return "lamp.png"


def words_of(text: str) -> str:
    return " ".join(text.split())


def test_a_sentence_then_the_table_then_the_files(run, lamp):
    ran = run("trust", lamp, *MODEL, "--target", "bright")
    assert (ran.status, ran.err) == (0, "")
    name, *_ = ran.out.splitlines()
    assert name == "lamp.png"
    said = words_of(ran.out)
    assert said.startswith("lamp.png This map says where the evidence for bright is: ")
    assert "64 probes" in said
    assert said.index("better than the centre") < said.index("method verdict") < said.index("wrote")
    assert "filled by blur (32) and ROAD (32); score: log-probability; seed 0" in said
    assert "wrote camscope-out/lamp-trust-figure.png" in ran.out
    figure = np.asarray(Image.open("camscope-out/lamp-trust-figure.png"))
    assert figure.std() > 5
    j = load("camscope-out/lamp-trust.npz")
    assert j.rows[0].verdict == Verdict.BEATS
    assert j.verdict in said


def test_it_says_the_same_as_python(run, lamp):
    run(
        "trust",
        lamp,
        *MODEL,
        "--method",
        "gradcam,eigencam",
        "--target",
        "bright",
        "--target=-bright",
        "--seed",
        "3",
    )
    found = load("camscope-out/lamp-trust.npz")
    explainer = camscope.Explainer(SPEC)
    j = explainer.trust(
        lamp,
        methods=["gradcam", "eigencam"],
        targets=["bright", "-bright"],
        probes=64,
        seed=3,
        progress=False,
    )
    assert found.verdict == j.verdict
    assert found.table() == j.table()
    assert [row.target for row in found.rows] == ["bright", "bright", "not bright", "not bright"]


def test_only_json_is_on_stdout(run, lamp):
    ran = run("trust", lamp, *MODEL, "--target", "bright", "--json")
    document = json.loads(ran.out)
    assert (document["failed"], document["stopped"]) == ([], False)
    (one,) = document["judged"]
    assert one["source"] == lamp
    assert one["rows"][0]["verdict"] == "beats all baselines"
    assert one["rows"][0]["says"] == one["verdict"]
    assert all(Path(file).is_file() for file in one["files"])
    back = load(one["files"][1]).to_dict(probes=False)
    assert {name: one[name] for name in ("rows", "verdict", "seed", "probes")} == {
        name: back[name] for name in ("rows", "verdict", "seed", "probes")
    }


def test_of_several_photos_a_broken_one_is_named_and_the_rest_goes_on(run, lamp):
    Path("broken.png").write_bytes(b"no photo")
    shutil.copy(lamp, "second.png")
    ran = run("trust", lamp, "broken.png", "second.png", *MODEL, "--target", "bright")
    assert ran.status == 1
    assert "broken.png" in ran.err
    said = words_of(ran.out)
    assert said.count("This map says where the evidence for bright is") == 2
    assert "Says where the evidence is: gradcam in 2 of 2 photos." in said
    assert "2 of 3 photos judged; the files are in camscope-out." in said
    document = json.loads(run("trust", lamp, "broken.png", *MODEL, "--json").out)
    assert [one["source"] for one in document["failed"]] == ["broken.png"]
    assert [one["source"] for one in document["judged"]] == [lamp]


def test_folders_name_the_classes_of_photos_and_a_wrong_answer_is_said(run, lamp):
    for folder in ("dark", "red"):
        (Path("set") / folder).mkdir(parents=True)
        shutil.copy(lamp, f"set/{folder}/{folder}.png")
    ran = run("trust", "set", *MODEL)
    said = words_of(ran.out)
    assert said.count("But by its label this is") == 1
    assert "But by its label this is red, and the model says" in said
    assert "By the labels 1 photo is of another class than the model says" in said
    assert "By the labels" not in run("trust", "set", *MODEL, "--labels", "none").out
    found = json.loads(run("trust", "set", *MODEL, "--json").out)
    assert [bool(one["rows"][0]["mistake"]) for one in found["judged"]] == [False, True]
    ran = run("trust", "set/red/red.png", *MODEL)  # in no folder inside what was given
    assert "label" not in ran.out
    Path("set/red").rename("set/holiday")
    said = words_of(run("trust", "set", *MODEL).out)
    assert "The names of the folders were not taken for labels. There is no class 'holiday'" in said


def test_of_many_photos_there_is_a_line_for_each_map(run, lamp):
    Path("folder/deep").mkdir(parents=True)
    for number in range(3):
        shutil.copy(lamp, f"folder/{number}.png")
    shutil.copy(lamp, "folder/deep/0.png")
    ran = run("trust", "folder", *MODEL, "--target", "bright", "--method", "gradcam,eigencam")
    assert ran.status == 0, ran.err
    said = words_of(ran.out)
    assert said.count("This map says where") == 0
    assert said.count("folder/") >= 8
    assert "Says where the evidence is: gradcam in 4 of 4 photos; eigencam in" in said
    assert "Fewer than 50 photos are too few to say which is better." in said
    written = sorted(path.name for path in Path("camscope-out").rglob("*.npz"))
    assert written == ["0-trust.npz", "0-trust.npz", "1-trust.npz", "2-trust.npz"]
    assert Path("camscope-out/deep/0-trust.npz").is_file()


def test_nothing_is_written_over_unless_it_is_asked_for(run, lamp):
    explained = run("explain", lamp, "--model", SPEC)
    assert explained.status == 0
    run("trust", lamp, *MODEL)
    first = Path("camscope-out/lamp-trust.npz")
    assert first.is_file(), "files of another command are no reason for another folder"
    before = first.read_bytes()
    ran = run("trust", lamp, *MODEL, "--seed", 1)
    assert "those of this run are in camscope-out-2" in words_of(ran.out)
    assert first.read_bytes() == before
    assert Path("camscope-out-2/lamp-trust.npz").is_file()
    run("trust", lamp, *MODEL, "--seed", 1, "--overwrite")
    assert load(first).seed == 1


def test_its_figures_are_not_taken_for_photos(run, lamp):
    run("trust", lamp, *MODEL)
    assert len(find_photos(["."])) == 2
    ran = run("trust", ".", *MODEL, "--json")
    assert [Path(one["source"]).name for one in json.loads(ran.out)["judged"]] == [lamp]


def test_tests_are_named_and_all_is_every_one(run, lamp):
    (row,) = json.loads(run("trust", lamp, *MODEL, "--checks", "fidelity", "--json").out)["judged"][0]["rows"]
    assert row["checks"] == []
    (row,) = json.loads(run("trust", lamp, *MODEL, "--checks", "class", "--json").out)["judged"][0]["rows"]
    assert [one["name"] for one in row["checks"]] == ["class"]
    assert row["verdict"] == "cannot be judged"
    assert "fidelity was not asked for" in row["says"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which photo?"),
        (["lamp.png", "--checks", "fidelty"], "Did you mean 'fidelity'"),
        (["lamp.png", "--probes", "3"], "--probes 3: expected"),
        (["lamp.png", "--probes", "many"], 'unable to convert "many" into int'),
        (["lamp.png", "--method", "gradcm"], "Did you mean 'gradcam'"),
        (["lamp.png", "--target", "top0"], "TopK(0)"),
        (["lamp.png", "--colormap", "infeno"], "Did you mean 'inferno'"),
        (["lamp.png", "--opacity", "3"], "--opacity 3.0: expected 0"),
        (["lamp.png", "--checkz", "all"], "Did you mean --checks?"),
    ],
)
def test_wrong_usage_is_found_before_any_work(run, lamp, arguments, words):
    ran = run("trust", *arguments, "--model", "nowhere.py:model")  # opening it would be another error
    assert ran.status == 2
    assert words in words_of(ran.err)
    assert not Path("camscope-out").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["lamp.png", "--layer", "seem"], 2, "Did you mean 'seen'?"),
        (["lamp.png", "--target", "brigth"], 2, "Did you mean 'bright'?"),
        (["lamp.png", "--out", "lamp.png"], 2, "--out lamp.png is a file"),
        (["nothing/*.png"], 2, "No image matches 'nothing/*.png'"),
        (["nothing.png"], 1, "'nothing.png' does not exist"),
        (["beat.wav"], 1, "beat.wav is a sound, and this model takes photos"),
    ],
)
def test_what_does_not_suit_the_model_is_said_and_leaves_nothing_behind(run, lamp, arguments, status, words):
    wavfile.write("beat.wav", 8000, noise(1, 8000))
    ran = run("trust", *arguments, *MODEL)
    assert ran.status == status
    assert words in words_of(ran.err)
    assert not Path("camscope-out").exists()


def test_a_photo_of_few_or_black_pixels_is_judged_in_words(run):
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save("black.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 5, 3), dtype=np.uint8)).save("tiny.png")
    ran = run("trust", "black.png", "tiny.png", *MODEL)
    assert ran.status == 0, ran.err
    assert "cannot be judged: the map is flat" in words_of(ran.out)


def test_sounds_are_judged_where_the_model_takes_them(run, tmp_path):
    model = saved("Hubert", tmp_path / "hubert")
    wavfile.write("speech.wav", 16000, noise(1, 16000))
    ran = run("trust", "speech.wav", "--model", model, "--probes", "32", "--json")
    assert ran.status == 0, ran.err
    (one,) = json.loads(ran.out)["judged"]
    assert one["rows"][0]["probes"] in (0, 32)
    assert Path("camscope-out/speech-trust-figure.png").is_file()


def test_an_interrupted_run_keeps_what_is_done(run, lamp, monkeypatch, request):
    shutil.copy(lamp, "second.png")
    judged = camscope.Explainer.trust

    def interrupted(self, inputs, **options):
        if inputs[0].source == "second.png":
            signal.raise_signal(signal.SIGINT)
        return judged(self, inputs, **options)

    # whoever runs the tests in the background has them ignore it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setattr(camscope.Explainer, "trust", interrupted)
    ran = run("trust", lamp, "second.png", *MODEL)
    assert ran.status == 130
    assert "1 of 2 photos judged; the files are in camscope-out. Stopped." in words_of(ran.out)
    assert Path("camscope-out/lamp-trust.npz").is_file()
    document = json.loads(run("trust", lamp, "second.png", *MODEL, "--json").out)
    assert document["stopped"]
    assert [one["source"] for one in document["judged"]] == [lamp]


def test_as_a_process_of_its_own(lamp):
    command = [sys.executable, "-m", "camscope", "trust", lamp, *MODEL, "--target", "bright", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["judged"][0]["rows"][0]["verdict"] == "beats all baselines"
    assert "Warning" not in ran.stderr


def test_the_price_of_a_long_run_is_said_once_and_first(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 2.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    cost = RunCost({"fidelity": Cost(altered=128), "class": Cost(), "stability": Cost(again=8)})
    monkeypatch.setattr("camscope.cli.price.time.monotonic", lambda: next(clock))
    with telling_price(3, "photo") as price:
        price.begin()
        price.costs(cost)
        price.told(0, 136)
        assert capsys.readouterr().err == ""
        price.told(16, 136)  # two seconds for 16 altered inputs, and one to explain the photo
        assert words_of(capsys.readouterr().err) == (
            "The model is run on 128 altered inputs for fidelity and explains 8 inputs for stability once more, for "
            "each of 3 photos: about 70 s."
        )
        price.told(136, 136)
        price.next()
        price.begin()
        price.costs(cost)
        price.told(64, 136)
    assert capsys.readouterr().err == ""


def test_the_price_of_a_run_without_probes_is_that_of_explaining(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 4.0])
    monkeypatch.setattr("camscope.cli.price.time.monotonic", lambda: next(clock))
    with telling_price(1, "photo") as price:
        price.begin()
        price.costs(RunCost({"weights": Cost(again=10), "stability": Cost(again=8)}))
    assert words_of(capsys.readouterr().err) == (
        "The model explains 18 inputs (10 for weights, 8 for stability) once more: about 54 s."
    )


def test_progress_is_told_in_python_too(lamp):
    told: list[tuple[int, int]] = []
    explainer = camscope.Explainer(SPEC)
    explainer.trust(lamp, probes=64, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 64)
    assert told[-1] == (64, 64)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_texts_are_judged_where_the_model_reads_them(run):
    Path("reads.py").write_text(FACTORY)
    text = " ".join(["a good film a bad film a good good film a film"] * 3)
    ran = run("trust", text, "--model", "reads.py:model", "--probes", "64", "--json")
    assert ran.status == 0, ran.err
    (one,) = json.loads(ran.out)["judged"]
    assert one["source"] == text
    assert one["rows"][0]["probes"] == 64
    assert len(one["rows"][0]["cells"]) == 36
    assert all(Path(file).is_file() for file in one["files"])
    assert load(one["files"][1]).rows[0].verdict == one["rows"][0]["verdict"]
