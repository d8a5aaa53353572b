"""Tables as labelled images: columns, templates, separators, and rows that cannot be used."""

from __future__ import annotations

import pytest

from camscope.errors import InputError
from camscope.training import read_labelled
from tests.training.made import folder, table

IDS = [["ID", "Label"], ["0", "0|2"], ["1", "2"], ["2", ""], ["3", "10"]]


@pytest.fixture
def images(tmp_path):
    return folder(tmp_path, {"files": 4})


def test_ids_and_several_labels(images):
    """As the cells of the Human Protein Atlas are listed: a column of ids, and classes joined by a bar."""
    file = table(images / "cells.csv", IDS)
    found = read_labelled(file, images=images / "files", path="{ID}.png", separator="|")
    assert found.classes == ("0", "2", "10")
    assert found.multilabel
    assert found.targets.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert found.names == ("0.png", "1.png", "2.png", "3.png")
    assert found.photo(3).size == (12, 10)


def test_paths_and_single_labels(images):
    """The column of paths is the one that names files; stray spaces are no part of a label."""
    file = table(
        images / "t.csv",
        [["who", "where", "class"]] + [["me", f"files/{i}.png", " cat"[i % 2 :]] for i in range(4)],
    )
    with pytest.raises(InputError, match="one class, 'cat'"):
        read_labelled(file)
    file = table(
        images / "t.csv",
        [["who", "where", "class"]] + [["me", f"files/{i}.png", ["dog", " cat"][i % 2]] for i in range(4)],
    )
    found = read_labelled(file)
    assert found.counts == {"cat": 2, "dog": 2}
    assert found.notes == ("2 label(s) had stray spaces, such as ' cat'",)
    assert read_labelled(file, images=images, column="where", labels="class").names == found.names


def test_other_encodings_of_the_same_table(images):
    """A byte order mark, tabs, quoted cells and empty lines."""
    text = '\ufefflabel\tfile\na\t"files/0.png"\n\nb\tfiles/1.png\n'
    (images / "t.tsv").write_text(text, encoding="utf-8")
    assert read_labelled(images / "t.tsv").counts == {"a": 1, "b": 1}


def test_parquet(images):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = images / "t.parquet"
    paths = [f"files/{i}.png" for i in range(4)]
    parquet.write_table(pyarrow.table({"file": paths, "label": [1.0, 0.0, 1.0, None]}), file)
    found = read_labelled(file, unreadable=0.25)
    assert found.classes == ("0", "1")
    assert found.skipped == (("files/3.png", "it has no label"),)
    parquet.write_table(pyarrow.table({"file": paths, "labels": [["a"], ["b", "a"], [], ["b"]]}), file)
    found = read_labelled(file)
    assert found.multilabel
    assert found.targets.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]
    file.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="no readable Parquet"):
        read_labelled(file)


def test_rows_that_are_left_out(images):
    """A row that is there twice, a missing file, a label that is missing: each with its reason."""
    rows = [["path", "label"], *([f"files/{i}.png", "ab"[i % 2]] for i in range(4))]
    rows += [["files/1.png", "b"], ["files/9.png", "a"], ["files/8.png", " "]]
    file = table(images / "t.csv", rows)
    found = read_labelled(file, unreadable=0.4)
    assert found.names == tuple(f"files/{i}.png" for i in range(4))
    assert dict(found.skipped) == {
        "files/1.png": "row 5 says the same as row 2",
        "files/9.png": f"there is no such file in '{images}'",
        "files/8.png": "it has no label",
    }
    with pytest.raises(
        InputError, match=r"2 of 6 images cannot be used; at most 30%[^:]*:\n +files/9.png: there"
    ):
        read_labelled(file, unreadable=0.3)


def test_rows_that_disagree(images):
    file = table(images / "t.csv", [["path", "label"], ["files/0.png", "a"], ["files/0.png", "b"]])
    with pytest.raises(InputError, match=r"'files/0.png' twice: 'a' in row 1, 'b' in row 2"):
        read_labelled(file)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (IDS, {}, r"'0\|2' .* look like several labels of one image: say separator='\|'"),
        ([["path", "label"], ["f", "a;b"], ["g", "a"], ["h", "b"]], {}, "say separator=';'"),
        (IDS, {"separator": "|"}, "No column names files in .* path='{NAME}.jpg'"),
        (IDS, {"separator": ","}, r"look like several labels of one image: say separator='\|'"),
        (IDS, {"separator": "|", "path": "{id}.png"}, "no column 'id'. Did you mean 'ID'"),
        (IDS, {"separator": "|", "path": "ID.png"}, "names no column"),
        (IDS, {"separator": "|", "path": "{ID.png"}, "is no template"),
        (IDS, {"separator": "|", "path": "{ID}.jpg"}, r"None of the 4 images .* '0.jpg' is first"),
        (IDS, {"separator": "|", "labels": "Labels"}, "no column 'Labels'. Did you mean 'Label'"),
        (
            [["path", "what"], ["f", "a"]],
            {},
            "none is called label; its columns: 'path', 'what'. Say it: labels=",
        ),
        ([["label", "class"], ["f", "a"]], {}, "'label', 'class' may be it"),
        ([["path", "label"], ["f"]], {}, "Line 2 .* has 1 cells, expected 2: path, label"),
        ([["path", "path"], ["f", "g"]], {}, "two columns of one name"),
        ([["path", "label"]], {}, "has no rows"),
        ([], {}, "has no rows"),
        (
            [["path", "label"], ["files/0.png", "a"], ["files/1.png", "dgo"]],
            {"classes": ["a", "dog"]},
            "'dgo', which",
        ),
    ],
)
def test_what_is_refused(images, rows, options, message):
    with pytest.raises(InputError, match=message):
        read_labelled(table(images / "t.csv", rows), **options)


def test_a_separator_that_is_part_of_a_label(images):
    file = table(images / "t.csv", [["path", "label"], ["files/0.png", "a|b"], ["files/1.png", "a"]])
    assert read_labelled(file, separator="").classes == ("a", "a|b")


def test_files_that_are_no_text(images):
    file = images / "t.csv"
    file.write_bytes(b"path,label\nfiles/0.png,\xff\xfe\n")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_labelled(file)
    with pytest.raises(InputError, match="There is no table"):
        read_labelled(images / "none.csv")
