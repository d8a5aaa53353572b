"""Sub-words to words, in the three ways that tokenizers mark them, and by where they stand in the text."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.text import Scheme, Text, Vocabulary, Word, find_scheme, words_by_marks, words_by_offsets

WORDPIECE = ["[CLS]", "un", "##watch", "##able", "film", ",", "really", "[SEP]"]
BYTE_LEVEL = ["<s>", "un", "watch", "able", "Ġfilm", ",", "Ġreally", "</s>"]
SENTENCEPIECE = ["▁un", "watch", "able", "▁film", ",", "▁really", "</s>"]
SUBWORD_NMT = ["un@@", "watch@@", "able", "film", ",", "really"]
CLIP = ["un", "watch", "able</w>", "film</w>", ",</w>", "really</w>"]


def is_special(token: str) -> bool:
    return token in ("[CLS]", "[SEP]", "<s>", "</s>")


@pytest.mark.parametrize("tokens", [WORDPIECE, BYTE_LEVEL, SENTENCEPIECE, SUBWORD_NMT, CLIP])
def test_marked_pieces_become_words(tokens):
    special = [is_special(token) for token in tokens]
    words = words_by_marks(tokens, special, find_scheme(tokens))
    assert [word.text for word in words] == ["unwatchable", "film", ",", "really"]
    first = special.index(False)
    assert [(word.start - first, word.stop - first) for word in words] == [(0, 3), (3, 4), (4, 5), (5, 6)]


def test_the_scheme_is_found_in_the_vocabulary_not_in_one_short_text():
    assert find_scheme(["a", "b", "##c"]).mark == "##"
    assert find_scheme(["a", "Ġa", "b"]) == Scheme("Ġ", "begins")
    assert find_scheme(["film", "loved"]) == Scheme()
    # by its vocabulary's marks an unmarked token goes on, by its own text alone it would be a word
    assert len(words_by_marks(["un", "happy"], [False] * 2, Scheme("Ġ", "begins"))) == 1
    assert len(words_by_marks(["un", "happy"], [False] * 2, Scheme())) == 2


def test_what_is_glued_follows_without_a_space():
    words = words_by_marks(BYTE_LEVEL, [is_special(token) for token in BYTE_LEVEL], find_scheme(BYTE_LEVEL))
    assert [word.glued for word in words] == [False, False, True, False]
    assert Text(tuple(BYTE_LEVEL), words).readable == "unwatchable film, really"


def test_a_lone_mark_belongs_to_the_word_after_it_and_unknown_tokens_stand_alone():
    words = words_by_marks(["▁", "f", "ilm", "<unk>", "!"], [False] * 5, Scheme("▁", "begins"))
    assert [(word.text, word.start, word.stop) for word in words] == [
        ("film", 0, 3), ("<unk>", 3, 4), ("!", 4, 5),
    ]  # fmt: skip


def offsets_of(source: str, pieces: list[str]) -> list[tuple[int, int]]:
    at, found = 0, []
    for piece in pieces:
        start = source.index(piece, at)
        at = start + len(piece)
        found.append((start, at))
    return found


@pytest.mark.parametrize(
    ("source", "pieces", "expected"),
    [
        ("Unwatchable film.", ["Un", "watch", "able", "film", "."], ["Unwatchable", "film", "."]),
        ("I don't know", ["I", "don", "'", "t", "know"], ["I", "don't", "know"]),
        ("I don’t", ["I", "don", "’t"], ["I", "don’t"]),
        ("it's 'fine'", ["it", "'", "s", "'", "fine", "'"], ["it's", "'", "fine", "'"]),
        ("well-made, so-so", ["well", "-", "made", ",", "so", "-", "so"],
         ["well", "-", "made", ",", "so", "-", "so"]),
        ("wait... what", ["wait", "...", "what"], ["wait", "...", "what"]),
        ("naïve café", ["na", "ï", "ve", "caf", "é"], ["naïve", "café"]),
        ("4.5 stars", ["4", ".", "5", "stars"], ["4", ".", "5", "stars"]),
        (" a  b ", [" a", "  b"], ["a", "b"]),
    ],
)  # fmt: skip
def test_words_by_where_tokens_stand(source, pieces, expected):
    words = words_by_offsets(source, offsets_of(source, pieces), [False] * len(pieces))
    assert [word.text for word in words] == expected
    assert [i for word in words for i in range(word.start, word.stop)] == list(range(len(pieces)))


def test_characters_that_the_tokenizer_cuts_apart_stay_apart():
    source = "好电影"
    offsets, special = [(0, 1), (1, 2), (2, 3)], [False] * 3
    assert [word.text for word in words_by_offsets(source, offsets, special, [0, 1, 2])] == ["好", "电", "影"]
    assert [word.text for word in words_by_offsets(source, offsets, special, [0, 0, 0])] == ["好电影"]


def test_the_bytes_of_one_character_are_one_word_and_special_tokens_none():
    source = "so 😀!"
    offsets = [(0, 0), (0, 2), (3, 4), (3, 4), (3, 4), (4, 5), (0, 0)]
    numbers = [None, 0, 1, 1, 1, 2, None]
    words = words_by_offsets(source, offsets, [True, *[False] * 5, True], numbers)
    assert [(word.text, word.start, word.stop) for word in words] == [("so", 1, 2), ("😀", 2, 5), ("!", 5, 6)]


def test_a_words_evidence_is_the_sum_of_its_tokens():
    text = Text(("[CLS]", "un", "##happy", "end"), (Word("unhappy", 1, 3), Word("end", 3, 4)))
    values = np.array([[9.0, 1.0, -3.0, 0.5], [0.0, 2.0, 2.0, 1.0]])
    np.testing.assert_array_equal(text.of_words(values), [[-2.0, 0.5], [4.0, 1.0]])
    assert Text.from_dict(text.to_dict()) == text


def test_a_vocabulary_splits_lowers_and_knows_what_it_does_not_know():
    vocabulary = Vocabulary({"<unk>": 0, "a": 1, "film": 2, "!": 3})
    assert vocabulary("A Film? film!") == [("A", 1), ("Film", 2), ("?", 0), ("film", 2), ("!", 3)]
    cased = Vocabulary({"Film": 0, "film": 1, "unk": 2}, unknown="unk", split=str.split)
    assert cased("Film film FILM") == [("Film", 0), ("film", 1), ("FILM", 2)]
