"""What the files of a run are called, where they go, and that nothing that is there is written over."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camscope import Explainer, render
from camscope.cli.file_names import stems_of_photos, stems_of_texts
from camscope.cli.out_folder import free_folder
from camscope.cli.photo_sources import Photos
from camscope.cli.reading_ahead import explained_in_batches
from camscope.cli.run_table import RunTable
from camscope.cli.writers import useful_threads
from camscope.errors import InputError, either, read_as_options
from camscope.images import find_photos
from camscope.results import Explanation
from tests.cli.brightness import SPEC, bright

MODEL = ("--model", SPEC)


@pytest.fixture
def folders(tmp_path, monkeypatch, pixels) -> None:
    """Photos in folders, as people have them."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "photos/a/x.jpg", "photos/b/x.jpg", "photos/my photo (1).png", "photos/a/x.png", "2020/summer/1.png",
        "2021/summer/1.png", "2021/winter/1.png",
    ):  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(name)


def stems(*given: str) -> list[str]:
    return [stem.as_posix() for stem in stems_of_photos(given, find_photos(given)).values()]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["photos/a/x.jpg"], ["x"]),
        (["photos/my photo (1).png"], ["my photo (1)"]),
        (["photos"], ["a/x.jpg", "a/x.png", "b/x", "my photo (1)"]),
        (["photos/a", "photos/b"], ["a/x.jpg", "a/x.png", "b/x"]),
        (["photos/a/x.jpg", "photos/b/x.jpg"], ["a/x", "b/x"]),
        (["photos/*/x.jpg"], ["a/x", "b/x"]),
        (["photos/**/*.jpg"], ["a/x", "b/x"]),
        (["2020/summer", "2021/winter"], ["summer/1", "winter/1"]),
        (["2020/summer", "2021/summer"], ["2020/summer/1", "2021/summer/1"]),
        (["2021", "photos/b"], ["2021/summer/1", "2021/winter/1", "b/x"]),
        (["photos/b", "photos/my photo (1).png"], ["x", "my photo (1)"]),
        (["."], None),
    ],
)
def test_photos_keep_their_names_and_folders(folders, given, expected):
    if expected is None:
        expected = ["2020/summer/1", "2021/summer/1", "2021/winter/1"]
        expected += ["photos/a/x.jpg", "photos/a/x.png", "photos/b/x", "photos/my photo (1)"]
    assert stems(*given) == expected


def test_no_two_share_a_name_even_where_letters_have_no_case():
    found = ["X.png", "x.png", "one/deep/x.png", "sample:cat", "cat.jpg"]
    names = [stem.as_posix().lower() for stem in stems_of_photos(found, found).values()]
    assert len(set(names)) == len(found)
    assert [str(stem) for stem in stems_of_texts(["a film", "a_film", "…"]).values()] == [
        "a_film",
        "a_film-2",
        "_",
    ]


def test_a_very_long_name_leaves_room_for_what_is_written_behind_it():
    (stem,) = stems_of_photos(["é" * 120 + ".png"], ["é" * 120 + ".png"]).values()
    assert len(str(stem).encode()) == 120


def names_below(folder: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_run_mirrors_the_folders(run, folders):
    ran = run("explain", "photos", *MODEL, "--save", "json")
    assert ran.status == 0, ran.err
    stems = ("a/x.jpg", "a/x.png", "b/x", "my photo (1)")
    assert names_below("camscope-out") == {"photos.csv", *(f"{stem}.json" for stem in stems)}
    assert {row["files"] for row in rows("camscope-out/photos.csv")} == {f"{stem}.json" for stem in stems}
    assert run("explain", "photos", *MODEL, "--save", "json,npz", "--overwrite").status == 0
    table = rows("camscope-out/photos.csv")
    assert {row["files"] for row in table} == {f"{stem}.npz; {stem}.json" for stem in stems}


# ---------------------------------------------------------------- nothing is written over


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], "out"),
        (["out/other.json", "out/xy.json"], "out"),
        (["out/x.json"], "out-2"),
        (["out/x-figure.png"], "out-2"),
        (["out/x-figure.png", "out-2/a/y-gradcam-layer-cat.webp"], "out-3"),
        (["out/a/x.json"], "out"),
        (["out/x.png", "out/x.xml", "out/x-2.jpeg", "out/-x.png"], "out"),  # no run writes these
        (["out/a/y.z-figure.png"], "out-2"),
    ],
)
def test_a_folder_that_holds_files_of_the_photos_is_not_free(tmp_path, there, expected):
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    wanted = [Path("x"), Path("a/y"), Path("a/y.z")]
    assert free_folder(tmp_path / "out", wanted) == tmp_path / expected


def test_the_current_folder_gets_no_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.json").touch()
    with pytest.raises(InputError, match="--overwrite"):
        free_folder(Path(), [Path("x")])


def test_a_second_run_goes_beside_the_first_as_a_whole_and_says_so(run, photo):
    assert run("explain", photo, *MODEL, "--save", "json", "--target", "dark").status == 0
    first = Path("camscope-out/beach.json").read_bytes()
    ran = run("explain", photo, *MODEL, "--save", "json", "--target", "bright")
    assert (
        "camscope-out has files of these photos already; those of this run are in camscope-out-2" in ran.out
    )
    assert Path("camscope-out/beach.json").read_bytes() == first
    ran = run("explain", photo, *MODEL, "--save", "json")
    assert "those of this run are in camscope-out-3" in ran.out
    assert "--out" not in ran.out.partition("Try next")[2], (
        "the same folder again, and not one beside the third"
    )
    second = json.loads(Path("camscope-out-2/beach.json").read_text())
    assert second["targets"][0]["name"] == "bright"


def test_overwriting_is_for_who_asks(run, photo):
    for target in ("dark, unlit", "bright"):
        run("explain", photo, *MODEL, "--save", "json", "--target", target.partition(",")[0], "--overwrite")
        known = json.loads(Path("camscope-out/beach.json").read_text())
        assert known["targets"][0]["name"] == target
    assert not Path("camscope-out-2").exists()


def test_concepts_are_not_written_over_either(run, photo):
    for _ in range(2):
        assert run("concepts", photo, *MODEL, "--count", 2).status == 0
    assert (
        names_below("camscope-out") == names_below("camscope-out-2") == {"beach-concepts.png", "concepts.npz"}
    )


def test_the_pictures_of_an_earlier_run_are_no_photos(run, pixels):
    Image.fromarray(pixels).save("x.png")
    for folder in ("camscope-out", "camscope-out-2"):
        ran = run("explain", ".", *MODEL, "--save", "overlay", "--json")
        (one,) = json.loads(ran.out)["explained"]
        assert Path(one["source"]).name == "x.png"
        assert {Path(file).parent.name for file in one["files"]} == {folder}
    Path("x.png").unlink()
    ran = run("explain", ".", *MODEL)
    assert ran.status == 2
    assert "were written by camscope" in ran.err
    named = Path(one["files"][0])
    assert run("explain", named, *MODEL, "--save", "json").status == 0, "who names one wants it"


@pytest.mark.parametrize("picture", ["png", "webp", "jpg"])
def test_nor_are_those_that_were_written_into_the_folder_of_the_photos(run, pixels, picture):
    Path("mine").mkdir()
    for name in ("mine/x.png", "mine/x-2.png"):
        Image.fromarray(pixels).save(name)
    for _ in range(2):
        ran = run("explain", "mine", *MODEL, "--out", "mine", "--overwrite", "--format", picture, "--json")
        assert [one["source"] for one in json.loads(ran.out)["explained"]] == ["mine/x-2.png", "mine/x.png"]


def test_pictures_may_be_written_beside_the_photos(run, pixels):
    Path("photos").mkdir()
    Image.fromarray(pixels).save("photos/x.png")
    assert run("explain", "photos", *MODEL, "--save", "json", "--out", "photos").status == 0
    assert names_below("photos") == {"x.png", "x.json"}


# ---------------------------------------------------------------- the table, and going on


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def made(pixels: np.ndarray, count: int) -> Sequence[str]:
    names = [f"{i:02d}.png" for i in range(count)]
    for name in names:
        Image.fromarray(pixels).save(name)
    return names


def test_a_long_table_ends_in_a_file(run, pixels):
    names = made(pixels, 23)
    Path("07.png").write_bytes(b"no photo")
    ran = run("explain", "*.png", *MODEL, "--save", "json")
    assert ran.status == 1
    assert "and 2 more: the whole table is camscope-out/photos.csv" in ran.out
    table = rows("camscope-out/photos.csv")
    assert sorted(row["source"] for row in table) == names
    assert {row["name"] for row in table if not row["error"]} == {"dark, unlit"}
    assert [row["source"] for row in table if row["error"]] == ["07.png"]
    assert all(row["files"] == f"{row['source'][:2]}.json" for row in table if not row["error"])


STOPS = """
from tests.cli.brightness import Bright, bright

class Stops(Bright):
    def forward(self, x):
        if x.shape[0] == 1 and not self.stopped and float(x.mean()) > 0.5:
            type(self).stopped = True
            raise KeyboardInterrupt
        return super().forward(x)

Stops.stopped = False

def build():
    model = Stops().eval()
    model.preprocessing, model.class_names = bright().preprocessing, bright().class_names
    return model
"""


def test_ctrl_c_says_what_is_done_and_how_to_go_on(run, pixels):
    Path("stops.py").write_text(STOPS)
    names = made(pixels, 5)
    Image.fromarray(255 - pixels).save("03.png")  # the photo at which Ctrl-C is pressed
    asked = (
        "--model",
        "stops.py:build",
        "--batch",
        1,
        "--save",
        "json",
        "--target",
        "not:dark",
        "--out",
        "maps",
    )
    ran = run("explain", *names, *asked)
    assert ran.status == 130
    assert "3 of 5 photos explained; the files are in maps." in ran.out
    assert [row["source"] for row in rows("maps/photos.csv")] == names[:3]
    line = ran.out.partition("Go on with the others:\n")[2].strip()
    before = Path("maps/00.json").stat().st_mtime_ns
    words = shlex.split(line)
    assert words[:2] == ["camscope", "explain"]
    Path("stops.py").write_text(STOPS.replace("stopped = False", "stopped = True"))
    ran = run(*words[1:])
    assert ran.status == 0, ran.err
    assert "2 of 2 photos explained, 3 were before; the files are in maps." in ran.out
    assert [row["source"] for row in rows("maps/photos.csv")] == names
    assert Path("maps/00.json").stat().st_mtime_ns == before
    targets = {json.loads(Path(f"maps/{name[:2]}.json").read_text())["targets"][0]["label"] for name in names}
    assert targets == {"not dark, unlit"}


def test_there_must_be_something_to_go_on_with(run, pixels):
    names = made(pixels, 4)
    ran = run("explain", *names, *MODEL, "--resume")
    assert ran.status == 2
    assert "there is no camscope-out/photos.csv" in ran.err
    Path("camscope-out").mkdir()
    Path("camscope-out/photos.csv").write_text("a,b\n1,2\n")
    ran = run("explain", *names, *MODEL, "--resume")
    assert ran.status == 2
    assert "is no table of a run" in ran.err
    ran = run("explain", names[0], *MODEL, "--resume")
    assert ran.status == 2
    assert "a run of more than 3 photos" in ran.err


def test_a_run_is_gone_on_with_by_the_same_options_only(run, pixels):
    names = made(pixels, 4)
    assert run("explain", *names, *MODEL, "--save", "json").status == 0
    table = Path("camscope-out/photos.csv")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))
    ran = run("explain", *names, *MODEL, "--save", "json", "--resume", "--method", "layercam")
    assert ran.status == 2
    assert "--method layercam" in ran.err
    assert len(rows("camscope-out/photos.csv")) == 2
    ran = run("explain", *names, *MODEL, "--save", "json", "--resume", "--batch", "2", "--device", "cpu")
    assert ran.status == 0, ran.err
    assert len(rows("camscope-out/photos.csv")) == 4


def test_an_error_leaves_no_empty_folder(run, pixels):
    names = made(pixels, 1)
    Path("broken.png").write_bytes(b"")
    Path("mine").mkdir()
    for asked in (("--out", "new/one", names[0], "--target", "no such"), ("--out", "new", "broken.png")):
        assert run("explain", *asked, *MODEL).status != 0
        assert not Path("new").exists()
    assert run("explain", "broken.png", *MODEL, "--out", "mine").status != 0
    assert Path("mine").is_dir()  # which was there before


# ---------------------------------------------------------------- kills, full disks and two at once


def test_a_killed_run_is_gone_on_with_and_nothing_is_done_twice(run, pixels):
    """Torn lines are dropped, files that are gone are made anew, and what is whole is left alone."""
    names = made(pixels, 6)
    asked = (*names, *MODEL, "--save", "json,overlay", "--target", "0")
    assert run("explain", *asked).status == 0
    whole, table = Path("camscope-out/photos.csv").read_text(), Path("camscope-out/photos.csv")
    lines = whole.splitlines(keepends=True)
    table.write_text("".join(lines[:5]) + lines[5][:9])  # killed while it wrote of the fifth
    gone, kept = (Path(f"camscope-out/{name}-gradcam-seen-bright.jpg") for name in ("01", "02"))
    gone.unlink()
    before = kept.stat().st_mtime_ns
    ran = run("explain", *asked)
    assert "(--resume: go on with that run; --overwrite: in the same folder)" in ran.out
    ran = run("explain", *asked, "--resume")
    assert ran.status == 0, ran.err
    assert "3 of 3 photos explained, 3 were before; the files are in camscope-out." in ran.out
    assert gone.exists()
    assert kept.stat().st_mtime_ns == before
    assert sorted(table.read_text().splitlines()) == sorted(whole.splitlines())
    assert "0 of 0 photos explained, 6 were before" in run("explain", *asked, "--resume").out
    assert "--resume" not in run("explain", *asked).out, "there is nothing to go on with"


def test_a_table_is_there_before_the_first_file(run, pixels, monkeypatch):
    """So whoever is killed in the first batch can go on."""
    names = made(pixels, 4)
    seen = []

    def looking(e, path, **options):
        seen.append(Path("camscope-out/photos.csv").read_text())
        return kept(e, path, **options)

    kept = Explanation.save
    monkeypatch.setattr(Explanation, "save", looking)
    assert run("explain", *names, *MODEL, "--save", "npz").status == 0
    assert seen[0].startswith("source,class")
    first, *_ = Path("camscope-out/photos.csv").read_text().splitlines(keepends=True)
    Path("camscope-out/photos.csv").write_text(first)
    ran = run("explain", *names, *MODEL, "--save", "npz", "--resume")
    assert "4 of 4 photos explained; the files" in ran.out


def test_two_runs_that_begin_at_once_do_not_mix(tmp_path):
    first, second = RunTable(tmp_path / "photos.csv"), RunTable(tmp_path / "photos.csv")
    first.begin(over=False)
    with pytest.raises(InputError, match=r"of another run.*--out.*--resume"):
        second.begin(over=False)
    second.begin(over=True)


def test_a_full_disk_ends_the_run_and_the_table_has_what_is_there(run, pixels, monkeypatch):
    """Photos are in it whose files are there, and no other; no file is torn; the same again does the others."""
    names = made(pixels, 6)

    def filling(e, path, **options):
        if "03" in Path(path).name:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return kept(e, path, **options)

    kept = Explanation.save
    monkeypatch.setattr(Explanation, "save", filling)
    ran = run("explain", *names, *MODEL, "--save", "npz", "--batch", "2")
    assert ran.status == 2
    assert "Cannot write to camscope-out: No space left on device" in ran.err
    noted = {row["source"] for row in rows("camscope-out/photos.csv")}
    assert set(names[:3]) <= noted
    assert {name.replace("png", "npz") for name in noted} | {"photos.csv"} == names_below("camscope-out")
    monkeypatch.setattr(Explanation, "save", kept)
    assert run("explain", *names, *MODEL, "--save", "npz", "--batch", "2", "--resume").status == 0
    assert sorted(row["source"] for row in rows("camscope-out/photos.csv")) == names


def test_the_next_photos_are_read_while_one_batch_is_explained(pixels, tmp_path):
    """And no more than so many: photos are large."""
    files = [str(tmp_path / f"{i:02d}.png") for i in range(6 * useful_threads())]
    for file in files:
        Image.fromarray(pixels).save(file)
    Path(files[1]).write_bytes(b"none")
    read: set[str] = set()

    class Watched(Photos):
        def read(self, explainer, name):
            read.add(name)
            return super().read(explainer, name)

    sources, explainer = Watched(files, tmp_path / "out"), Explainer(bright())
    with explained_in_batches(explainer, sources, files, 2, {"targets": [0]}) as outcomes:
        for number, batch in enumerate(outcomes):
            assert read <= set(files[: 2 * number + 2 + 2 * useful_threads()])
            assert {one.name for one in batch} == set(files[2 * number : 2 * number + 2])
            assert [one.name for one in batch if isinstance(one.found, InputError)] == files[1:2][number:]
    assert read == set(files)
    read.clear()
    with explained_in_batches(explainer, sources, files, 2, {"targets": [0]}) as outcomes:
        next(outcomes)
    assert read <= set(files[: 2 + 2 * useful_threads()]), "what was begun ends with whoever wanted it"


def test_threads_speak_the_words_of_the_command(run, pixels):
    """Errors name what one types, and not Python: also those of photos that are read ahead."""
    Image.fromarray(pixels).save("x.png")
    explainer = Explainer(bright())

    class Speaking(Photos):
        def read(self, explainer, name):
            raise InputError(either("Python", "the command"))

    sources = Speaking(["x.png"], Path("out"))
    with (
        read_as_options({}),
        explained_in_batches(explainer, sources, ["x.png"], 1, {}) as outcomes,
    ):
        assert [str(one.found) for one in next(outcomes)] == ["the command"]


def test_many_pictures_are_light_unless_another_kind_is_asked_for(run, pixels):
    """A folder's overlays are JPEG, which is quick; of a few photos they are exact; each says who made it."""
    names = made(pixels, 4)
    assert run("explain", *names, *MODEL, "--save", "overlay", "--target", "0").status == 0
    assert run("explain", *names, *MODEL, "--save", "overlay", "--target", "0", "--format", "png").status == 0
    light, exact = sorted(Path("camscope-out").glob("*.jpg")), sorted(Path("camscope-out-2").glob("*.png"))
    assert len(light) == len(exact) == 4
    for one, other in zip(light, exact, strict=True):
        a, b = (np.asarray(Image.open(path), dtype=float) for path in (one, other))
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95
        assert render.was_saved_here(one)
    assert (
        run("explain", *names[:3], *MODEL, "--save", "overlay", "--out", "few", "--target", "0").status == 0
    )
    assert {path.suffix for path in Path("few").iterdir()} == {".png"}
