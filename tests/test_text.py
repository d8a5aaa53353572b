"""Texts end to end: exact identities on a text CNN, layers, padding, refusals, keeping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.libraries.info import ModelInfo
from camscope.models.batch import Batch
from tests.texts import TextCNN
from tests.torch.conftest import untouched  # noqa: F401

WORDS = [
    "<unk>",
    "a",
    "bad",
    "dull",
    "film",
    "fine",
    "good",
    "great",
    "is",
    "it",
    "loved",
    "not",
    "the",
    ",",
    ".",
]
VOCABULARY = {word: i for i, word in enumerate(WORDS)}
TEXTS = ["a great film", "it is a dull , bad film .", "not bad , not good", "the film is fine ."]


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def cnn():
    return seeded(lambda: TextCNN(len(WORDS)))


def same_words(got, expected):
    assert [word for word, _ in got] == [word for word, _ in expected]
    assert [value for _, value in got] == pytest.approx([value for _, value in expected], rel=1e-4, abs=1e-6)


def ids(*shape: int) -> torch.Tensor:
    return torch.randint(0, len(WORDS), shape, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------ the score and the gradient by hand


def test_the_map_sums_to_the_logit_without_its_bias(cnn):
    """CAM: Σ over tokens of the map = (logit − bias) times the number of tokens, word by word."""
    x = ids(3, 7)
    e = camscope.explain(cnn, x, methods="cam", targets=[0, 1])
    with torch.no_grad():
        logits, bias = cnn(x), cnn.head.bias.detach()
    torch.testing.assert_close(e.maps().sum(-1) / 7, logits - bias)
    torch.testing.assert_close(e.logits, logits)
    words = sum(value for _, value in e.words(1, target=0))
    assert words / 7 == pytest.approx(float(logits[1, 0] - bias[0]), rel=1e-5)


def test_the_gradient_by_hand_at_the_embedding(cnn):
    """HiResCAM at the embedding is gradient × input, summed over the width, by an autograd of our own."""
    x = ids(2, 6)
    e = camscope.explain(cnn, x, methods=["hirescam", "gradcam"], layers="embedding", targets=[1])
    embedded = cnn.embedding(x).detach().requires_grad_()
    logits = cnn.head(cnn.relu(cnn.conv(embedded.transpose(1, 2))).mean(2))
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), embedded)
    torch.testing.assert_close(e.maps("hirescam")[:, 0], (gradient * embedded).sum(-1).detach())
    weights = gradient.mean(1, keepdim=True)
    torch.testing.assert_close(e.maps("gradcam")[:, 0], (weights * embedded).sum(-1).detach())


def test_ablation_runs_the_part_after_the_layer_once_per_channel(cnn):
    """Σ_k (s − s without channel k) / |s| · A^k, each score by hand."""
    x = ids(1, 8)
    e = camscope.explain(cnn, x, methods="ablationcam", layers="conv", targets=[0])
    with torch.no_grad():
        A = cnn.conv(cnn.embedding(x).transpose(1, 2))
        score = cnn(x)[0, 0]
        drops = []
        for k in range(A.shape[1]):
            without = A.clone()
            without[:, k] = 0
            drops.append(score - cnn.head(cnn.relu(without).mean(2))[0, 0])
        expected = torch.einsum("k,bkn->bn", torch.stack(drops) / score.abs(), A)
    torch.testing.assert_close(e.maps()[0], expected, rtol=1e-3, atol=1e-5)


def test_the_map_follows_the_target_and_the_word():
    """A word planted with a strong known weight carries the map of its class, wherever it stands."""
    model = seeded(lambda: TextCNN(len(WORDS), width=8, channels=4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.weight[VOCABULARY["great"], 0] = 1
        model.embedding.weight[VOCABULARY["dull"], 1] = 1
        model.conv.weight[0, 0, 1] = model.conv.weight[1, 1, 1] = 1
        model.head.weight[1, 0] = model.head.weight[0, 1] = 1
    e = camscope.explain(
        model, ["a great film , not dull", "dull , then great"], tokenizer=VOCABULARY, targets=[0, 1]
    )
    for text in (0, 1):
        for target, word in ((0, "dull"), (1, "great")):
            evidence = dict(e.words(text, target=target))
            assert evidence[word] > 0
            assert all(value == 0 for other, value in evidence.items() if other != word)


# ------------------------------------------------------------------ one batch or one by one

METHODS = [
    "cam", "gradcam", "hirescam", "layercam", "gradcam++", "xgradcam", "ablationcam", "reciprocam", "eigencam",
    "finercam", "shapleycam", "balanced(gradcam)", "fem",
]  # fmt: skip


def test_texts_of_several_lengths_are_each_as_if_alone(cnn):
    """Every method, and exactly: no padding is ever read."""
    explainer = camscope.Explainer(cnn, tokenizer=VOCABULARY)
    e = explainer(TEXTS, methods=METHODS, targets=[0, 1])
    assert e.maps("cam").shape == (4, 2, 8)
    for i, text in enumerate(TEXTS):
        alone = explainer(text, methods=METHODS, targets=[0, 1])
        count = len(text.split())
        same_words(e.words(i, "cam"), alone.words(0, "cam"))
        assert e.targets[i] == alone.targets[0]
        torch.testing.assert_close(e.logits[i], alone.logits[0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(e.scores[i], alone.scores[0], rtol=1e-6, atol=1e-6)
        for key, maps in e.raw.items():
            torch.testing.assert_close(maps[i, :, :count], alone.raw[key][0], rtol=1e-4, atol=1e-6)
            assert not bool(maps[i, :, count:].any())
            torch.testing.assert_close(e[i].raw[key], alone.raw[key], rtol=1e-4, atol=1e-6)
            assert e.status[key][i] == alone.status[key][0]
            heat = e.heatmaps(*key)[i]
            torch.testing.assert_close(heat[:, :count], alone.heatmaps(*key)[0], rtol=1e-3, atol=1e-5)
            assert not bool(heat[:, count:].any())
            np.testing.assert_allclose(e.ranges[key][i], alone.ranges[key][0], rtol=1e-4, atol=1e-6)


def test_embeddings_of_texts_are_those_of_each_alone(cnn):
    explainer = camscope.Explainer(cnn, tokenizer=VOCABULARY, task="regression")
    together = explainer.embed(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(vector, explainer.embed(text)[0])
    e = explainer(TEXTS, targets=[camscope.Similarity(together), camscope.Similarity(together[0])])
    torch.testing.assert_close(e.scores[:, 0], torch.ones(len(TEXTS)))
    expected = torch.nn.functional.cosine_similarity(together, together[:1])
    torch.testing.assert_close(e.scores[:, 1], expected)


def test_targets_and_channels_go_with_their_texts(cnn):
    explainer = camscope.Explainer(cnn, tokenizer=VOCABULARY, class_names=["no", "yes"])
    each = ["yes", "no", "no", "yes"]
    e = explainer(TEXTS, targets=camscope.PerImage(each), channels=3)
    assert [targets[0].name for targets in e.targets] == each
    for i, text in enumerate(TEXTS):
        alone = explainer(text, targets=each[i], channels=3)
        (kept,), (own,) = e[i].channels.values(), alone.channels.values()
        torch.testing.assert_close(kept.index, own.index)
        torch.testing.assert_close(kept.contributions, own.contributions)
    with pytest.raises(camscope.TargetError, match="PerImage holds 3 targets, the batch 4 texts"):
        explainer(TEXTS, targets=camscope.PerImage(each[:3]))


def test_a_layer_with_fewer_positions_than_tokens():
    """A strided convolution: the maps of several lengths lie side by side, each interpolated to its own words."""

    class Strided(TextCNN):
        def __init__(self):
            super().__init__(len(WORDS))
            self.conv = nn.Conv1d(24, 32, 2, stride=2)

    explainer = camscope.Explainer(seeded(Strided), tokenizer=VOCABULARY)
    texts = TEXTS[1:]
    e = explainer(texts, methods="cam", targets=[1])
    assert e.maps().shape == (3, 1, 4)
    for i, text in enumerate(texts):
        alone = explainer(text, methods="cam", targets=[1])
        torch.testing.assert_close(e[i].maps(), alone.maps())
        same_words(e.words(i), alone.words(0))
        torch.testing.assert_close(e.heatmaps()[i, :, : len(text.split())], alone.heatmaps()[0])


def test_padding_at_the_left_leaves_the_map_at_its_tokens(cnn):
    x = ids(2, 6)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = cnn

        def forward(self, input_ids, attention_mask):
            assert bool(attention_mask.all()), "padding was run"
            return self.inner(input_ids)

    e = camscope.explain(Masked(), {"input_ids": x, "attention_mask": mask}, methods="cam", targets=[0])
    alone = camscope.explain(cnn, x[:1, 2:], methods="cam", targets=[0])
    torch.testing.assert_close(e.maps()[0, :, 2:], alone.maps()[0])
    assert not bool(e.maps()[0, :, :2].any())
    assert [word for word, _ in e.words(0)] == [f"#{n}" for n in x[0, 2:].tolist()]
    assert not bool(e.heatmaps()[0, :, :2].any())
    assert bool((e.heatmaps(scale="signed")[0, :, :2] == 0.5).all())


def test_rows_of_a_batch_and_what_goes_with_them():
    x = torch.arange(12).reshape(3, 4)
    call = Batch((), {"ids": x, "mask": x + 100, "each": torch.arange(3), "of all": torch.arange(4)}, "ids")
    cut = call.tokens(np.array([2, 0]), np.array([1, 2]), 2)
    assert cut.x.tolist() == [[9, 10], [2, 3]]
    assert cut.kwargs["mask"].tolist() == [[109, 110], [102, 103]]
    assert cut.kwargs["each"].tolist() == [2, 0]
    assert cut.kwargs["of all"].tolist() == [0, 1, 2, 3]


# ------------------------------------------------------------------ which layer


class Recurrent(nn.Module):
    def __init__(self, read: str, bidirectional: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 8)
        self.rnn = nn.LSTM(8, 6, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(12 if bidirectional else 6, 2)
        self.read = read

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, (hidden, _) = self.rnn(self.embedding(x))
        if self.read == "last":
            return self.head(out[:, -1])
        if self.read == "hidden":
            return self.head(torch.cat(list(hidden), 1))
        if self.read == "ends":
            return self.head(torch.cat([out[:, -1, :6], out[:, 0, 6:]], 1))
        return self.head(out.amax(1))


@pytest.mark.parametrize(
    ("read", "bidirectional", "chosen"),
    [
        ("last", False, "embedding"),
        ("last", True, "embedding"),
        ("hidden", False, "embedding"),
        ("hidden", True, "embedding"),
        ("ends", True, "embedding"),
        ("best", False, "rnn"),
        ("best", True, "rnn"),
    ],
)
def test_the_layer_is_one_whose_tokens_reach_the_score(read, bidirectional, chosen):
    """A last state is no map: behind it only one token's output is used, or one at each end."""
    model = seeded(lambda: Recurrent(read, bidirectional))
    e = camscope.explain(model, ids(2, 9), methods=["gradcam", "hirescam", "ablationcam"])
    assert e.layers == (chosen,)
    assert all(status != "flat" for maps in e.status.values() for row in maps for status in row)


def test_a_layer_by_name_that_ends_in_one_state_is_refused():
    with pytest.raises(camscope.LayerError, match=r"only the first or the last token.*Use 'embedding'"):
        camscope.explain(seeded(lambda: Recurrent("last", False)), ids(1, 9), layers="rnn")


def test_one_of_several_branches_is_not_chosen():
    """Convolutions of several widths side by side (Kim, EMNLP 2014): each has a part of the evidence only."""

    class Kim(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(len(WORDS), 8)
            self.convs = nn.ModuleList(nn.Conv1d(8, 6, width) for width in (2, 3, 4))
            self.head = nn.Linear(18, 2)

        def forward(self, x):
            x = self.embedding(x).transpose(1, 2)
            return self.head(torch.cat([torch.relu(conv(x)).amax(2) for conv in self.convs], 1))

    e = camscope.explain(seeded(Kim), ids(2, 9), methods=["hirescam", "gradcam"])
    assert e.layers == ("embedding",)
    assert camscope.explain(seeded(Kim), ids(2, 9), layers="convs.2").maps().shape == (2, 1, 6)


# ------------------------------------------------------------------ the model stays


def test_the_model_is_untouched(untouched):  # noqa: F811
    model = seeded(lambda: TextCNN(len(WORDS))).train()
    with untouched(model):
        camscope.explain(model, TEXTS, tokenizer=VOCABULARY, methods=METHODS)
        with pytest.raises(camscope.InputError):
            camscope.explain(model, ids(1, 5) + 90)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "method",
    [
        "scorecam", "rise", "fullgrad", "guided-gradcam", "opticam", "groupcam", "smooth(gradcam)",
        "augment(gradcam)", "multiscale(gradcam)", "path(gradcam)", "smoothgradcam++",
    ],
)  # fmt: skip
def test_what_alters_or_differentiates_the_input_is_refused_before_any_work(cnn, method):
    calls = []
    handle = cnn.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(camscope.MethodError, match=r"token numbers.*These work on texts: cam, gradcam"):
            camscope.explain(cnn, ids(1, 6), methods=["gradcam", method])
    finally:
        handle.remove()
    assert not calls


def test_attention_methods_need_attention(cnn):
    with pytest.raises(camscope.ModelError, match="No attention was seen"):
        camscope.explain(cnn, ids(1, 6), methods="chefer")


def explain(model, text, **options):
    return camscope.explain(model, text, tokenizer=VOCABULARY, **options)


def test_texts_that_cannot_be_read_say_why(cnn):
    with pytest.raises(camscope.InputError, match="The text is empty"):
        explain(cnn, "  ")
    with pytest.raises(camscope.InputError, match="Text 1 of the list is empty"):
        explain(cnn, ["a film", ""])
    with pytest.raises(camscope.InputError, match="The list of texts is empty"):
        explain(cnn, [])
    with pytest.raises(camscope.InputError, match="Text 1 of the batch is a single token"):
        explain(cnn, ["a film", "film"])
    with pytest.raises(camscope.InputError, match="no token 99: this model knows 15, numbered 0 to 14"):
        explain(cnn, torch.tensor([[1, 2, 3], [1, 99, 2]]))
    with pytest.raises(camscope.InputError, match="no token -1"):
        explain(cnn, torch.tensor([[1, -1, 3]]))
    with pytest.raises(camscope.InputError, match=r"need a batch axis: pass ids\[None\]"):
        explain(cnn, torch.tensor([1, 2, 3]))
    with pytest.raises(camscope.InputError, match="hides every token of text 1"):
        explain(cnn, {"x": ids(2, 3), "attention_mask": torch.tensor([[1, 1, 0], [0, 0, 0]])})


def test_a_missing_or_odd_tokenizer_says_what_would_do(cnn):
    with pytest.raises(camscope.InputError, match=r"'a film' is no file. If it is a text.*tokenizer="):
        camscope.explain(cnn, "a film")
    with pytest.raises(camscope.InputError, match="expected a Hugging Face tokenizer, a dictionary"):
        camscope.Explainer(cnn, tokenizer=3)
    with pytest.raises(
        camscope.InputError, match=r"gave \['a', 'film'\].*expected a list of \(token, number\)"
    ):
        camscope.explain(cnn, "a film", tokenizer=str.split)
    with pytest.raises(camscope.InputError, match="no 'movie' and no word for unknown words"):
        camscope.explain(cnn, "a movie", tokenizer={"a": 0, "film": 1})
    with pytest.raises(camscope.InputError, match=r"unknown='unk' is not in the vocabulary.*'<unk>'"):
        camscope.Vocabulary(VOCABULARY, unknown="unk")


def test_a_text_that_does_not_fit_says_how_long_it_is():
    class Positions(TextCNN):
        def __init__(self, table):
            super().__init__(len(WORDS))
            self.positions = nn.Embedding(6, 24) if table else None
            self.added = nn.Parameter(torch.zeros(6, 24))

        def forward(self, x):
            count = x.shape[1]
            at = (
                self.added[None, :count]
                if self.positions is None
                else self.positions(torch.arange(count))[None]
            )
            return self.head(self.relu(self.conv((self.embedding(x) + at).transpose(1, 2))).mean(2))

    with pytest.raises(
        camscope.InputError, match=r"8 tokens, more than the model takes \(.* positions has 6\)"
    ):
        camscope.explain(Positions(table=True), ids(1, 8))
    with pytest.raises(camscope.InputError, match="does not run on a text of 8 tokens"):
        camscope.explain(Positions(table=False), ids(1, 8))
    camscope.explain(Positions(table=True), ids(1, 6))


def test_unknown_words_are_noted(cnn):
    e = explain(cnn, "a spectacular film , spectacular")
    assert any(
        "2 of 5 tokens are not in the vocabulary" in note and "spectacular" in note for note in e.notes
    )
    assert [word for word, _ in e.words()] == ["a", "spectacular", "film", ",", "spectacular"]


def test_a_function_is_a_tokenizer_too(cnn):
    e = camscope.explain(
        cnn, "a good film", tokenizer=lambda text: [(word, VOCABULARY[word]) for word in text.split()]
    )
    torch.testing.assert_close(e.maps(), camscope.explain(cnn, torch.tensor([[1, 6, 4]])).maps())
    assert e.provenance["tokenizer"] == "<lambda>"


def test_pictures_have_no_words_and_texts_no_picture(cnn, tiny_cnn, tiny_batch):
    with pytest.raises(camscope.InputError, match="no text, so it has no words"):
        camscope.explain(tiny_cnn, tiny_batch).words()
    e = explain(cnn, "a good film")
    with pytest.raises(camscope.InputError, match=r"not a picture.*use words\(\), figure\(\)"):
        e.overlay()
    assert repr(e).startswith("Explanation(1 text, ")
    assert ModelInfo().texts is None


# ------------------------------------------------------------------ looking and keeping


def test_saved_and_loaded_it_keeps_its_words(cnn, tmp_path):
    e = explain(cnn, TEXTS, methods=["cam", "eigencam"], targets=[0, 1])
    loaded = camscope.load(e.save(tmp_path / "texts"))
    for i in range(len(TEXTS)):
        same_words(loaded.words(i, "cam", target=1), e.words(i, "cam", target=1))
        assert loaded.text(i) == e.text(i)
        assert loaded[i]._repr_html_() == e[i]._repr_html_()
    assert loaded.status == e.status
    np.testing.assert_allclose(loaded.heatmaps("cam"), e.heatmaps("cam"), atol=1e-6)
    document = e.summary(1)
    assert document["text"]["tokens"] == TEXTS[1].split()
    assert document["words"]["cam/relu"][1] == pytest.approx(
        [value for _, value in e.words(1, "cam", target=1)]
    )


def test_heatmaps_of_a_batch_share_its_scale_and_leave_padding_out(cnn):
    e = explain(cnn, TEXTS, methods="cam", targets=[0])
    heat = e.heatmaps(scale="batch", rectify=False)
    real = np.array([[token < len(text.split()) for token in range(8)] for text in TEXTS])
    raw = e.maps()[:, 0][torch.from_numpy(real)]
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    torch.testing.assert_close(heat[:, 0][torch.from_numpy(real)], expected)
    assert not bool(heat[:, 0][torch.from_numpy(~real)].any())


def test_concepts_and_layers_of_texts(cnn):
    explainer = camscope.Explainer(cnn, tokenizer=VOCABULARY)
    shown, chosen = explainer.layers()
    assert chosen.name == "relu"
    assert [layer.name for layer in shown] == ["embedding", "conv", "relu"]
    with pytest.raises(camscope.InputError, match=r"size=\(32, 32\): this model reads texts"):
        explainer.layers(size=(32, 32))
    found = explainer.concepts(["a good film .", "not a bad film"], count=2)
    assert found.explanation.maps().shape == (2, 2, 4)
    with pytest.raises(camscope.InputError, match="must have the same number of tokens"):
        explainer.concepts(TEXTS)


def test_a_binary_and_a_regression_model():
    one = seeded(lambda: TextCNN(len(WORDS), classes=1))
    e = camscope.explain(one, ids(2, 5), methods="cam", targets=[0, 1])
    torch.testing.assert_close(e.maps()[:, 0], -e.maps()[:, 1])
    number = camscope.explain(one, ids(2, 5), methods="cam", task="regression")
    torch.testing.assert_close(number.maps()[:, 0], e.maps()[:, 1])
