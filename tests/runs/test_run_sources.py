"""Where the images of a run come from: each kind of source gives the same bytes and labels as it was made of."""

from __future__ import annotations

import functools
import http.server
import io
import itertools
import json
import tarfile
import threading

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import ipc, parquet

from camscope.errors import ImageError, InputError
from camscope.images import find_photos
from camscope.runs.reading_one import Reading, ReadPhoto, Unread, bytes_of, read_input
from camscope.runs.sources import remote_files
from camscope.runs.sources.finding_inputs import find_inputs
from camscope.runs.sources.one_input import DataOptions, Input


def contents(data, **options) -> list[tuple[bytes, str | None]]:
    return [(bytes_of(one), one.label) for one in find_inputs(data, DataOptions(**options))]


@pytest.fixture(scope="module")
def expected(folder) -> list[tuple[bytes, str]]:
    paths = [one.source for one in find_inputs(str(folder))]
    return [(open(path, "rb").read(), path.split("/")[-2]) for path in paths]  # noqa: PTH123


def test_a_folder_gives_all_photos_in_the_order_of_explain(folder):
    found = list(find_inputs(str(folder)))
    assert [one.source for one in found] == find_photos([str(folder)])
    assert [one.label for one in found[:8]] == ["ant"] * 7 + ["bee"]


def test_photos_that_lie_in_the_folder_itself_or_in_train_have_no_label(folder):
    assert {one.label for one in find_inputs(str(folder / "ant"))} == {None}
    assert {one.label for one in find_inputs(f"{folder}/ant/*.png")} == {None}
    assert {one.label for one in find_inputs(f"{folder}/*/*.png")} == {"ant", "bee", "house_cat", "wolf"}


def test_nothing_is_held(folder):
    """The first input is there before the second folder was looked at."""
    stream = find_inputs([str(folder), str(folder)])
    assert len(list(itertools.islice(stream, 3))) == 3


def write_table(path, folder, expected):
    rows = [
        f"{one.source[len(str(folder)) + 1 :]},{one.label},{i}"
        for i, one in enumerate(find_inputs(str(folder)))
    ]
    path.write_text("\n".join(["file,label,number", *rows]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_paths(kind, folder, expected, tmp_path):
    write_table(tmp_path / "t.csv", folder, expected)
    if kind == "parquet":
        from pyarrow import csv

        parquet.write_table(csv.read_csv(tmp_path / "t.csv"), tmp_path / "t.parquet")
    assert contents(tmp_path / f"t.{kind}", images=str(folder)) == expected
    templated = find_inputs(tmp_path / f"t.{kind}", DataOptions(path="{label}/{number}.png", images="there"))
    assert next(templated)[:2] == ("there/ant/0.png", "ant")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"column": "fil"}, "no column 'fil'. Did you mean 'file'"),
        ({"labels": "lable"}, "Did you mean 'label'"),
        ({"path": "x.jpg"}, "names no column"),
        ({"path": "{nmber}.jpg"}, "Did you mean 'number'"),
    ],
)
def test_a_table_that_is_misunderstood_teaches(options, said, folder, expected, tmp_path):
    write_table(tmp_path / "t.csv", folder, expected)
    with pytest.raises(InputError, match=said.replace(".", r"\.")):
        list(find_inputs(tmp_path / "t.csv", DataOptions(images=str(folder), **options)))


def test_a_list_and_standard_input(folder, expected, tmp_path, monkeypatch):
    lines = "".join(f"{one.source}\t{one.label}\n" for one in find_inputs(str(folder)))
    (tmp_path / "list.txt").write_text(lines + "\n")
    assert contents(tmp_path / "list.txt") == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert contents("-") == expected


def write_tars(folder, target):
    """Two shards of WebDataset's, with labels in .cls and in .json."""
    for number, kind in enumerate(("cls", "json")):
        with tarfile.open(target / f"d-{number:03d}.tar", "w") as tar:
            for i, one in enumerate(find_inputs(str(folder))):
                if i % 2 != number:
                    continue
                label = one.label if kind == "cls" else json.dumps({"label": one.label})
                for name, data in ((f"{i:04d}.png", bytes_of(one)), (f"{i:04d}.{kind}", label.encode())):
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    tar.addfile(about, io.BytesIO(data))


def test_tar_files_of_webdataset(folder, expected, tmp_path):
    write_tars(folder, tmp_path)
    wanted = expected[::2] + expected[1::2]
    assert contents(f"{tmp_path}/d-{{000..001}}.tar") == wanted
    assert contents(tmp_path) == wanted
    assert contents(f"{tmp_path}/*.tar") == wanted
    first = next(find_inputs(tmp_path))
    assert first.source == f"{tmp_path}/d-000.tar::0000.png"
    (tmp_path / "d.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match="packed"):
        list(find_inputs(tmp_path / "d.tar.gz"))
    (tmp_path / "d-000.tar").write_bytes((tmp_path / "d-000.tar").read_bytes()[:700])
    with pytest.raises(ImageError, match="bytes too early"):
        bytes_of(first)


def dataset_table(folder) -> pa.Table:
    """As Hugging Face's `datasets` writes it: an image as bytes and path, a label as the number of a name."""
    inputs = list(find_inputs(str(folder)))
    names = sorted({one.label for one in inputs})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table(
        {
            "image": [{"bytes": bytes_of(one), "path": None} for one in inputs],
            "label": [names.index(one.label) for one in inputs],
        }
    )
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_a_data_set_of_hugging_face_in_parquet(folder, expected, tmp_path):
    (tmp_path / "data").mkdir()
    parquet.write_table(dataset_table(folder), tmp_path / "data" / "train-0.parquet", row_group_size=7)
    assert contents(tmp_path) == expected
    assert contents(tmp_path / "data" / "train-0.parquet") == expected


def test_a_data_set_of_hugging_face_as_saved_to_disk(folder, expected, tmp_path):
    home = tmp_path / "train"
    home.mkdir()
    table = dataset_table(folder)
    with ipc.new_stream(home / "data-0.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=5)
    (home / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert contents(home) == contents(tmp_path) == expected
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match=r"Say which: '.*/train'"):
        list(find_inputs(tmp_path))


def test_a_url_that_fails_at_first_is_read_again(folder, expected, monkeypatch):
    """A real server on loopback, which answers every file with an error twice."""
    monkeypatch.setattr(remote_files, "_WAIT", 0.001)
    asked: dict[str, int] = {}

    class Flaky(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] = asked.get(self.path, 0) + 1
            if asked[self.path] <= 2 or "always" in self.path:
                self.send_error(503)
            else:
                super().do_GET()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Flaky, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        assert bytes_of(Input(f"{base}/ant/0.png")) == expected[0][0]
        lost = read_input(Input(f"{base}/always.png"), Reading(None))
        assert isinstance(lost, Unread)
        assert lost.missing
        assert "4 times" in lost.reason
        gone = read_input(Input(f"{base}/ant/none.png"), Reading(None))
        assert isinstance(gone, Unread)
    finally:
        server.shutdown()
        server.server_close()


def test_a_url_of_a_folder_is_walked(folder, expected):
    assert contents(f"file://{folder}") == expected
    assert contents(f"file://{folder}/*/*.png") == expected


def test_an_image_that_is_none_is_told_from_one_that_is_not_there(folder, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad, gone = (read_input(Input(str(tmp_path / name)), Reading(None)) for name in ("bad.png", "gone.png"))
    assert (bad.missing, gone.missing) == (False, True)
    good = read_input(next(find_inputs(str(folder))), Reading(None))
    assert isinstance(good, ReadPhoto)
    assert good.size == (24, 24)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda home: home / "photoz", "There is no '.*photoz'. Did you mean 'photos'"),
        (lambda home: home / "empty", "hold no image"),
        (lambda home: f"{home}/*.jpg", "Nothing matches"),
        (lambda home: "hf:ylecun/mnist", "A data set of it is hf://datasets/ylecun/mnist, with its owner"),
        (lambda home: home / "notes.md", "nothing that images come in"),
        (lambda home: home / "list.txt", "is empty"),
        (lambda home: [], "There is no image in nothing"),
        (lambda home: "sample:dog", "no sample photo 'dog'"),
        (lambda home: "s4://bucket/photos", "s4"),
        (lambda home: home / "run", "is a run"),
    ],
)
def test_data_that_are_none_teach(make, said, tmp_path):
    for name in ("photos", "empty", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "list.txt").write_text("\n")
    (tmp_path / "run" / "plan.json").write_text("{}")
    with pytest.raises(InputError, match=said):
        list(find_inputs(make(tmp_path)))


def test_jpeg_in_a_tar_is_decoded_like_the_file(tmp_path):
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "a.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.jpg", "x/a.jpg")
    inside = read_input(next(find_inputs(tmp_path / "a.tar")), Reading(None))
    own = read_input(Input(str(tmp_path / "a.jpg")), Reading(None))
    assert (inside.pixels == own.pixels).all()
    assert inside.digest == own.digest
