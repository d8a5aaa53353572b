"""Positions of another input are no places of the one that maps are of: a decoder's words, read out of a sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

from camscope import Explainer
from camscope.models.grid import Grid, candidate_grids
from camscope.models.place import CENTRES, _bell, answer, find_grid

LEANING = torch.tensor([[1.6, 0.4], [0.4, 1.6]], dtype=torch.float64)
"""Two words, of which the first reads rather the beginning of the sound, and the second rather its end."""


class Words(nn.Module):
    """Every word reads all of a sound, the first rather its beginning. `places` puts out the sound's own positions."""

    def __init__(self, *, one_at_a_time: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.places = nn.Conv1d(1, 8, 4, 4)
            self.words = nn.Embedding(9, 8)
            self.decoded, self.head = nn.Identity(), nn.Linear(8, 3)
        self.lean = nn.Upsample(size=16, mode="linear", align_corners=True)
        self.one_at_a_time = one_at_a_time

    def forward(self, sound: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        if self.one_at_a_time and len(sound) > 1:
            raise RuntimeError("one at a time")
        words = self.words(words) if words.ndim == 2 else words
        read = self.lean(LEANING.to(sound)[None])[0] @ self.places(sound).transpose(1, 2).relu()
        return self.head((self.decoded(read / 16 + words) ** 2).mean(1))


def sound(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(seed))


def names(model: nn.Module, inputs: object) -> set[str]:
    return {layer.name for layer in Explainer(model.eval()).layers(inputs, every=True)[0]}


WORDS = {
    "token numbers": torch.tensor([[3, 7]]),
    "the same word twice": torch.tensor([[3, 3]]),
    "vectors": torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1)),
    "in half precision": torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1)).bfloat16(),
}


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_words_that_lean_to_one_side_of_a_sound_are_no_places_of_it(kind, one_at_a_time):
    assert names(Words(one_at_a_time=one_at_a_time), (sound(), WORDS[kind])) == {"places"}
    named = {"sound": sound(), "words": WORDS[kind]}
    assert names(Words(one_at_a_time=one_at_a_time), named) == {"places"}


def test_without_the_other_input_the_same_layer_has_a_grid_of_two_positions():
    """So it is the other input by which it is told, and what has two true positions keeps them."""

    class Alone(Words):
        def forward(self, sound: torch.Tensor) -> torch.Tensor:
            return super().forward(sound, torch.tensor([[3, 7]], device=sound.device).expand(len(sound), 2))

    layers, _ = Explainer(Alone().eval()).layers(sound(), every=True)
    assert {layer.name: layer.grid.space for layer in layers} == {"places": (16,), "decoded": (2,)}


class Two(nn.Module):
    """Two streams of the same time: what they are summed up to has places of either."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.second = nn.Conv1d(1, 8, 16, 16), nn.Conv1d(2, 8, 1)
            self.both, self.head = nn.Conv1d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, sound: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self.head(self.both(self.first(sound) + self.second(other)).relu().mean(2))


def test_what_both_have_a_part_in_has_places():
    other = torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(2))
    assert names(Two(), (sound(), other)) >= {"first", "both"}


class Masked(nn.Module):
    """A little of each position, and much of all; what is masked is nothing."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.head = nn.Conv1d(2, 8, 1), nn.Linear(8, 3)
        self.mixed = nn.Identity()

    def forward(self, sound: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        own = self.first(sound)
        both = own + 8 * own.abs().mean(2, keepdim=True)
        return self.head(self.mixed(both * mask[:, None]).relu().mean(2))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_a_mask_of_the_sounds_own_positions_takes_no_layer_away(dtype):
    steps = torch.randn(1, 2, 12, generator=torch.Generator().manual_seed(0))
    assert names(Masked(), (steps, torch.ones(1, 12, dtype=dtype))) >= {"first", "mixed"}


def bert() -> nn.Module:
    config = hf.BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    return hf.BertForSequenceClassification(config)


@pytest.mark.parametrize("given", ["position_ids", "token_type_ids", "attention_mask"])
def test_the_places_and_kinds_of_a_texts_own_tokens_take_no_layer_away(given):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, tokens = bert(), torch.randint(3, 99, (1, 7))
    kinds = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    more = {"position_ids": torch.arange(7)[None], "token_type_ids": kinds, "attention_mask": kinds * 0 + 1}
    alone, both = (names(model, {"input_ids": tokens, **some}) for some in ({}, {given: more[given]}))
    assert alone == both
    assert "bert.encoder.layer.1" in alone


@pytest.mark.parametrize("words", [2, 7])  # seven are as many as the text has tokens
def test_the_words_that_a_text_is_translated_to_are_no_tokens_of_the_text(words):
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    for seed in (2, 4, 5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = hf.T5Config(vocab_size=99, decoder_start_token_id=0, **sizes)
            model = hf.T5ForConditionalGeneration(config).eval()
            for weights in model.parameters():  # as far from each other as trained ones
                weights.data *= 4 if weights.ndim > 1 else 1
            text, answers = torch.randint(3, 99, (1, 7)), torch.randint(3, 99, (1, words))
        explainer = Explainer(model, output=lambda out: out.logits[:, -1])
        layers, _ = explainer.layers({"input_ids": text, "decoder_input_ids": answers}, every=True)
        of_decoder = {layer.name for layer in layers if layer.name.startswith("decoder.")}
        assert {name.rpartition(".")[0] for name in of_decoder} == {"decoder.block.0.layer.1.EncDecAttention"}
        assert {layer.grid.space for layer in layers} == {(7,)}


def test_in_another_framework_too():
    onnx = pytest.importorskip("onnx")
    from tests.onnx.graphs import graph, node, weights

    lean = np.stack([np.linspace(1.6, 0.4, 16), np.linspace(0.4, 1.6, 16)]).astype(np.float32)
    nodes = [
        node("Conv", "sound places.w", "places", "/places", strides=[4]),
        node("Transpose", "places", "in_rows", "/in_rows", perm=[0, 2, 1]),
        node("Relu", "in_rows", "read_from", "/read_from"),
        node("MatMul", "lean read_from", "read", "/read"),
        node("Add", "read words", "decoded", "/decoded"),
        node("Tanh", "decoded", "squashed", "/squashed"),
        node("ReduceMean", "squashed", "pooled", "/pooled", axes=[1], keepdims=0),
        node("Gemm", "pooled fc.w", "logits", "/fc", transB=1),
    ]
    constants = {"places.w": weights(8, 1, 4), "lean": lean / 16, "fc.w": weights(3, 8)}
    real = onnx.TensorProto.FLOAT
    inputs = {"sound": (real, ["n", 1, 64]), "words": (real, ["n", 2, 8])}
    model = graph(nodes, constants, inputs, ["logits"])
    given = {"sound": sound().numpy(), "words": WORDS["vectors"].numpy()}
    found = {layer.name for layer in Explainer(model).layers(given, every=True)[0]}
    assert "/places" in found
    assert not found & {"/decoded", "/squashed"}


def test_so_few_positions_must_change_by_more_than_a_lean():
    """What reads the whole may agree with left and right, in a small part of what changes."""
    grid = Grid("channels-first", (2,), 4)
    for leaning, expected in ((0.02, None), (0.5, grid)):
        changes = [1 + leaning * (bell - bell.mean()) for bell in (_bell((2,), centre) for centre in CENTRES)]
        clean = np.ones((4, 2))
        answered = answer(clean, [clean + 0.1 * change for change in changes])
        assert answered.agreement(grid) > 0.99
        assert answered.slope(grid) == pytest.approx(leaning, rel=0.05)
        assert find_grid(answered, candidate_grids((1, 4, 2), (1, 3, 24))) == expected
