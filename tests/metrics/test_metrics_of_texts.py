"""Words left out: what is put in their place, what stays, and metrics of texts in exact cases and by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope import metrics
from tests.texts import CORPUS, TextCNN, byte_level, split, transformer, vocabulary_of, wordpiece

QUIET = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
WORDS = vocabulary_of(CORPUS, 1)
TEXTS = ["a film I loved , wonderful and moving", "the plot was dull and boring , unbelievably so"]


class Bag(nn.Module):
    """Σ over tokens of a number each; that of unknown words is 0: what a token adds is known."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 6)
        self.sum = nn.Linear(6, 1, bias=False)
        nn.init.zeros_(self.embedding.weight[0])

    def forward(self, ids):
        return self.sum(self.embedding(ids)).sum(1)


def numbers(text):
    return [WORDS[word] for word in split(text)]


@pytest.fixture(scope="module")
def bag():
    torch.manual_seed(0)
    net = Bag().double().eval()
    return net, camscope.Explainer(net, tokenizer=camscope.Vocabulary(WORDS), task="regression")


@pytest.fixture(scope="module")
def cnn():
    torch.manual_seed(0)
    net = TextCNN(len(WORDS)).double().eval()
    return net, camscope.Explainer(net, tokenizer=camscope.Vocabulary(WORDS))


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    return camscope.Explainer(transformer().eval(), tokenizer=wordpiece())


# ------------------------------------------------------------------ the altered texts themselves


def test_a_text_without_some_words_is_the_text_with_the_unknown_word_there(cnn):
    net, explainer = cnn
    with explainer.altering(TEXTS, targets=[0, 1]) as seen:
        assert seen.inputs.shape == (2, 1, 9)
        assert seen.inputs.dtype == bool
        assert seen.inputs.sum((1, 2)).tolist() == [len(split(text)) for text in TEXTS]
        left = np.ones((3, 1, 9), bool)
        left[1, 0, [2, 5]] = left[2] = False
        said = seen.masked(0, 3, lambda some: left[some])
        clean = seen.responses.scores
    own = numbers(TEXTS[0])
    altered = [0 if place in (2, 5) else number for place, number in enumerate(own)]
    with torch.no_grad():
        expected = torch.cat([net(torch.tensor([ids])) for ids in (own, altered, [0] * len(own))])
        both = torch.cat([net(torch.tensor([numbers(text)])) for text in TEXTS])
    torch.testing.assert_close(said.scores, expected)
    torch.testing.assert_close(clean, both)


def test_special_tokens_and_padding_are_never_replaced(bert):
    seen_by_model = []

    def see(module, args, kwargs):
        seen_by_model.append(kwargs.get("input_ids", args[0] if args else None).clone())

    model = bert._model.adapter.model
    with bert.altering(TEXTS) as seen:
        handle = model.register_forward_pre_hook(see, with_kwargs=True)
        seen.masked(1, 1, lambda some: np.zeros((1, 1, seen.inputs.shape[2]), bool))
        handle.remove()
    (ids,) = seen_by_model
    texts = bert._model.info.texts
    tokens = texts.named(ids[0].tolist()).tokens
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert set(tokens[1:-1]) == {texts.stand_in[1]}


def test_the_mask_token_comes_before_that_for_unknown_words():
    mask = camscope.Explainer(
        TextCNN(len(WORDS) + 1).eval(), tokenizer=camscope.Vocabulary({**WORDS, "[MASK]": len(WORDS)})
    )
    assert mask._model.info.texts.stand_in == (len(WORDS), "[MASK]")
    fast = wordpiece()
    assert camscope.Explainer(transformer(), tokenizer=fast)._model.info.texts.stand_in[1] == "[UNK]"
    fast.mask_token = "[SEP]"
    assert camscope.Explainer(transformer(), tokenizer=fast)._model.info.texts.stand_in[1] == "[SEP]"


# ------------------------------------------------------------------ metrics


def test_what_each_word_really_adds_is_found_exactly(bag):
    net, explainer = bag
    with torch.no_grad():
        worth = [net.sum(net.embedding(torch.tensor(numbers(text))))[:, 0].numpy() for text in TEXTS]
    maps = np.zeros((2, 1, 9))
    for row, one in zip(maps, worth, strict=True):
        row[0, : len(one)] = one
    exact = metrics.infidelity(explainer, TEXTS, maps, normalise=False)["map"]
    np.testing.assert_allclose(exact, 0, atol=1e-20)
    gains = metrics.srg(explainer, TEXTS, {"truth": maps, "against": -maps}, shares=(0.25, 0.5))
    expected = []
    for one in worth:
        ascending = np.sort(one)
        counts = [int(np.floor(share * len(one) + 0.5)) for share in (0.25, 0.5)]
        expected.append([np.mean([ascending[-k:].sum() - ascending[:k].sum() for k in counts])])
    np.testing.assert_allclose(gains["truth"], expected, atol=1e-12)
    np.testing.assert_allclose(gains["against"], -np.array(expected), atol=1e-12)


@QUIET
@pytest.mark.parametrize("measure", ["srg", "deletion", "insertion", "infidelity", "road"])
def test_a_text_of_a_batch_is_measured_as_it_is_alone(measure, cnn, bert):
    for explainer in (cnn[1], bert):
        e = explainer(TEXTS, targets=0)
        options = {"steps": 5} if measure in ("deletion", "insertion") else {}
        found = getattr(metrics, measure)(explainer, TEXTS, e, targets=0, **options)["gradcam"]
        assert np.isfinite(found).all()
        for i in (0, 1):
            alone = getattr(metrics, measure)(explainer, TEXTS[i], e[i], targets=0, **options)["gradcam"]
            np.testing.assert_allclose(found[i : i + 1], alone, atol=1e-5)


@QUIET
def test_weights_and_classes_are_asked_of_texts_too_and_what_is_not_says_why(cnn, bert):
    for explainer in (cnn[1], bert):
        e = explainer(TEXTS)
        assert np.isfinite(metrics.model_randomisation(explainer, TEXTS, e, draws=2)["gradcam"]).all()
        assert np.isfinite(metrics.class_sensitivity(explainer, TEXTS, e)["gradcam"]).all()
        for measure in (metrics.stability, metrics.max_sensitivity):
            with pytest.raises(camscope.InputError, match="no text that is nearly the same"):
                measure(explainer, TEXTS, e)
        with pytest.raises(camscope.InputError, match="cannot be seen through a heatmap"):
            metrics.average_drop(explainer, TEXTS, e)
    judgement = bert.trust(" ".join(TEXTS), checks=("fidelity", "weights", "stability"))
    said = {check.name: check for check in judgement.rows[0].checks}
    assert np.isfinite(judgement.rows[0].fidelity.value)
    assert "no text that is nearly the same" in said["stability"].says


@QUIET
def test_where_no_token_stands_for_a_word_the_mean_embedding_does_and_leaves_nothing_behind():
    model = transformer("Roberta").eval()
    explainer = camscope.Explainer(model, tokenizer=byte_level())
    random = np.random.default_rng(0)
    with explainer.altering(TEXTS, targets=1) as seen:
        assert seen.stand_in == "the mean embedding"
        left = seen.inputs[1] & (random.random((5, *seen.inputs.shape[1:])) > 0.3)
        left[0] = seen.inputs[1]
        said = seen.masked(1, 5, lambda some: left[some]).scores
        clean = seen.responses.scores[1]
    given = byte_level()(TEXTS[1], return_tensors="pt")
    table = model.get_input_embeddings()
    kept = torch.from_numpy(left[:, 0, : given["input_ids"].shape[1]])
    kept[:, [0, -1]] = True  # <s> and </s>
    with torch.no_grad():
        own = table(given["input_ids"])
        embedded = torch.where(kept[..., None], own, table.weight.mean(0))
        # without numbers RoBERTa cannot tell padding from them, and counts positions alike: from 2
        expected = torch.cat([model(inputs_embeds=one[None]).logits for one in embedded])[:, 1:]
    torch.testing.assert_close(torch.as_tensor(said), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.as_tensor(said)[0], torch.as_tensor(clean))
    assert not any(module._forward_hooks for module in model.modules())
    judgement = explainer.trust(" ".join(TEXTS), probes=32, progress=False)
    assert "filled by the mean embedding (32)" in repr(judgement)
    assert not judgement.rows[0].why


def test_token_numbers_alone_are_left_out_too(bag):
    net, _ = bag
    ids = torch.tensor([numbers(TEXTS[0])])
    explainer = camscope.Explainer(net, task="regression")
    with explainer.altering(ids) as seen:
        left = np.ones((1, 1, ids.shape[1]), bool)
        left[0, 0, [1, 4]] = False
        said = seen.masked(0, 1, lambda some: left[some]).scores
    with torch.no_grad():
        each = net.embedding(ids)
        each[0, [1, 4]] = net.embedding.weight.mean(0)
        torch.testing.assert_close(torch.as_tensor(said), net.sum(each).sum(1))


@pytest.mark.parametrize("seen_twice", [False, True])
def test_words_that_nothing_can_stand_for_are_told_how_to_have_it(seen_twice):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, 4)
            self.layer = nn.Conv1d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, 2)

        def forward(self, ids):
            x = self.table(ids) if seen_twice else self.table.weight[ids]
            if seen_twice:
                x = x + self.table(ids.roll(1, 1))  # as an encoder and a decoder do
            return self.head(self.layer(x.mT).relu().mean(2))

    net = Odd().eval()
    ids = torch.arange(8)[None]
    explainer = camscope.Explainer(net)
    with pytest.raises(camscope.InputError, match=r"tokenizer.mask_token = '…' of a Hugging Face tokenizer"):
        metrics.srg(explainer, ids, np.arange(8.0)[None, None])
    assert not any(module._forward_hooks for module in net.modules())


def test_maps_that_are_coarser_than_the_tokens_are_taken_of_one_text_at_a_time(cnn):
    explainer = cnn[1]
    coarse = np.random.default_rng(0).random((1, 1, 4))
    assert np.isfinite(metrics.srg(explainer, TEXTS[0], coarse)["map"]).all()
    with pytest.raises(
        camscope.InputError, match="4 values for 9 tokens of a batch of texts of several lengths"
    ):
        metrics.srg(explainer, [TEXTS[1], TEXTS[0][:20]], np.repeat(coarse, 2, axis=0))
