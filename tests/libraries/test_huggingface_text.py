"""Hugging Face text classifiers of every build from configurations, with tokenizers made here; nothing is fetched."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

import camscope
from camscope.libraries.registry import recognise
from tests.texts import BERT, byte_level, sentencepiece, transformer, wordpiece

SMALL = {key: value for key, value in BERT.items() if key not in ("id2label", "label2id")}
SMALL |= {"vocab_size": 60, "max_position_embeddings": 40}
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 60, "n_positions": 40}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
DISTIL = {
    "dim": 32,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 64,
    "vocab_size": 60,
    "max_position_embeddings": 40,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
NUMBERED = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MODELS = {
    "Bert": (SMALL, "bert.encoder.layer.1", True),
    "DistilBert": (DISTIL, "distilbert.transformer.layer.1", True),
    "Roberta": (SMALL, "roberta.encoder.layer.1", True),
    "Electra": ({**SMALL, "embedding_size": 16}, "electra.encoder.layer.1", True),
    "Albert": ({**SMALL, "embedding_size": 16}, "albert.encoder.embedding_hidden_mapping_in", True),
    "MPNet": (SMALL, "mpnet.encoder.layer.1", True),
    "Deberta": ({**SMALL, **RELATIVE}, "deberta.encoder.layer.1", True),
    "DebertaV2": ({**SMALL, **RELATIVE, "position_biased_input": False}, "deberta.encoder.layer.1", False),
    "ModernBert": ({**SMALL, **NUMBERED}, "model.layers.1", True),
    "GPT2": (GPT2, "transformer.h.1", True),
    "Llama": ({**SMALL, "num_key_value_heads": 1}, "model.layers.1", True),
}
METHODS = ["gradcam", "hirescam", "ablationcam", "eigencam"]
ATTENTION = ["rollout", "chefer", "legrad", "grad-eclip"]


def padded() -> dict[str, torch.Tensor]:
    """Two texts of 9 and 5 tokens."""
    ids = torch.randint(5, 60, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_build_gives_maps_and_a_batch_is_one_by_one(name):
    """The layer is the last whose tokens reach the score; padding is no position, for layers and for attention."""
    config, layer, attends = MODELS[name]
    model = transformer(name, **config)
    explainer = camscope.Explainer(model)
    given = padded()
    kinds = [METHODS, ATTENTION] if attends else [METHODS]
    for methods in kinds:
        e = explainer(given, methods=methods, targets=[0, 1])
        assert e.layers == ((layer,) if methods is METHODS else ("model",))
        for i, length in enumerate((9, 5)):
            alone = explainer(
                {k: v[i : i + 1, :length] for k, v in given.items()}, methods=methods, targets=[0, 1]
            )
            for key, maps in e.raw.items():
                torch.testing.assert_close(maps[i, :, :length], alone.raw[key][0], rtol=1e-4, atol=1e-6)
                assert not bool(maps[i, :, length:].any())
                assert str(e.status[key][i][0]) in ("ok", "all-negative")
    if not attends:
        with pytest.raises(camscope.ModelError, match="No attention was seen"):
            explainer(given, methods="chefer")


@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Roberta", "ModernBert"])
def test_without_padding_the_scores_are_the_models_own_with_its_mask(name):
    model, given = transformer(name, **MODELS[name][0]), padded()
    with torch.no_grad():
        expected = model(**given).logits
    e = camscope.explain(model, given)
    torch.testing.assert_close(e.logits, expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_by_hand_behind_a_block_of_bert():
    """HiResCAM at the last block but one: activations times their gradient, by hooks of our own."""
    model, given = transformer("Bert", **SMALL), padded()
    seen: list[torch.Tensor] = []

    def keep(_module, _inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden.retain_grad()
        seen.append(hidden)

    handle = model.bert.encoder.layer[1].register_forward_hook(keep)
    model(**given).logits[:, 1].sum().backward()
    handle.remove()
    expected = (seen[0] * seen[0].grad).sum(-1).detach()
    e = camscope.explain(model, given, methods="hirescam", targets=[1])
    for i, length in enumerate((9, 5)):
        torch.testing.assert_close(e.maps()[i, 0, :length], expected[i, :length], rtol=1e-3, atol=1e-5)


def test_ablation_runs_only_the_part_after_the_block_of_bert():
    """What is before the layer runs once, and twice to try the plan; what comes after it for each chunk of channels."""
    model = transformer("Bert", **SMALL)
    ids = padded()["input_ids"][:1]
    explainer = camscope.Explainer(model)
    explainer(ids, methods="ablationcam", targets=[0])  # gets to know the model
    run = [0, 0]
    inner = [
        model.bert.encoder.layer[0].attention.register_forward_pre_hook(
            lambda *_: run.__setitem__(0, run[0] + 1)
        ),
        model.bert.encoder.layer[2].attention.register_forward_pre_hook(
            lambda *_: run.__setitem__(1, run[1] + 1)
        ),
    ]
    explainer(ids, methods="ablationcam", targets=[0])
    for handle in inner:
        handle.remove()
    assert run[0] == 3, "the first block's attention ran again"
    assert run[1] > 2


def test_the_map_follows_the_word_that_decides():
    """A BERT that learns that 5 means class 0 and 6 means class 1: with both in a text each class has its own word."""
    config = {
        **SMALL,
        "num_hidden_layers": 2,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    generator = torch.Generator().manual_seed(1)

    def texts(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = torch.randint(10, 40, (count, 10), generator=generator)
        x[:, 0] = 2
        places = torch.stack([1 + torch.randperm(9, generator=generator)[:2] for _ in range(count)])
        return x, torch.randint(0, 2, (count,), generator=generator), places

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = hf.BertForSequenceClassification(hf.BertConfig(**config))
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(100):
            x, labels, places = texts(32)
            x[torch.arange(32), places[:, 0]] = 5 + labels
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x).logits, labels).backward()
            optimiser.step()
    x, _, places = texts(20)
    rows = torch.arange(20)
    x[rows, places[:, 0]], x[rows, places[:, 1]] = 5, 6
    of_each = [camscope.Contrast(0, 1, gamma=1.0), camscope.Contrast(1, 0, gamma=1.0)]
    embeddings = "bert.embeddings.word_embeddings"
    for method, layer in (
        ("hirescam", embeddings), ("balanced(hirescam)", embeddings), ("hirescam", None), ("legrad", None),
    ):  # fmt: skip
        maps = camscope.explain(model.eval(), x, methods=method, layers=layer, targets=of_each).maps()
        for target in (0, 1):
            found = (maps[:, target].argmax(1) == places[:, target]).float().mean()
            assert float(found) >= 0.8, (method, target)


def test_the_model_is_untouched_also_its_configuration(untouched):
    """GPT-2 asks for a padding token when it gets several texts: it runs without one, and has none afterwards."""
    model = transformer("GPT2", **GPT2).train()
    assert model.config.pad_token_id is None
    with pytest.raises(ValueError, match="padding token"):
        model(padded()["input_ids"])
    with untouched(model):
        e = camscope.explain(model, padded()["input_ids"], methods=["gradcam", "ablationcam", "chefer"])
    assert model.config.pad_token_id is None
    alone = camscope.explain(model, padded()["input_ids"][:1], methods="gradcam")
    torch.testing.assert_close(e.maps("gradcam")[:1], alone.maps(), rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------ tokenizers, pipelines, folders

SENTENCE = "A film I loved, don't miss it! Unwatchable 😀 café."
WRITTEN = ["A", "film", "I", "loved", ",", "don't", "miss", "it", "!", "Unwatchable", "😀", "café", "."]


@pytest.fixture(scope="module")
def bert():
    return transformer()


@pytest.mark.parametrize("make", [wordpiece, byte_level, sentencepiece])
def test_words_are_as_they_are_written_whatever_the_tokenizer_cuts(bert, make):
    tokenizer = make()
    e = camscope.explain(bert, SENTENCE, tokenizer=tokenizer, targets=["positive"])
    assert [word for word, _ in e.words()] == WRITTEN
    assert e.text().readable == SENTENCE
    assert len(e.text().tokens) > len(WRITTEN) + 1, "nothing was cut: this shows nothing"
    of_tokens = sum(value for _, value in e.tokens())
    special = set(tokenizer.all_special_tokens) - {tokenizer.unk_token}
    of_special = sum(value for token, value in e.tokens() if token in special)
    assert sum(value for _, value in e.words()) == pytest.approx(of_tokens - of_special, rel=1e-4, abs=1e-6)
    assert len(e.text().tokens) == len(tokenizer(SENTENCE)["input_ids"])


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_words_from_numbers_alone(bert, make):
    """Where the text is not at hand the tokens' marks say what belongs together, here as well as places do."""
    tokenizer, text = make(), "the plot was dull, don't go there"
    expected = camscope.explain(bert, text, tokenizer=tokenizer, targets=[0])
    encoded = tokenizer(text, return_tensors="pt")
    for given, reads in ((encoded["input_ids"], {"tokenizer": tokenizer}), (encoded, {})):
        e = camscope.explain(bert, given, targets=[0], **reads)
        assert [word for word, _ in e.words()] == [word for word, _ in expected.words()]
        torch.testing.assert_close(e.maps(), expected.maps())


def test_a_pipeline_a_folder_and_a_model_beside_its_tokenizer_are_the_same(bert, tmp_path):
    tokenizer = wordpiece()
    bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    pipeline = hf.pipeline("text-classification", model=bert, tokenizer=tokenizer)
    folder = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    texts = [SENTENCE, "the plot was dull"]
    explained = [camscope.explain(model, texts) for model in (pipeline, folder, f"hf:{tmp_path}")]
    for e in explained:
        assert e.class_names == ["negative", "positive"]
        assert [word for word, _ in e.words()] == WRITTEN
        torch.testing.assert_close(e.maps(), explained[0].maps(), rtol=1e-4, atol=1e-6)
    got = pipeline(texts)
    for i, one in enumerate(got):
        _, name, _, probability = explained[0].top(1, image=i)[0]
        assert name == one["label"]
        assert probability == pytest.approx(one["score"], rel=1e-4)


def test_a_model_whose_trunk_is_called_model_is_no_pipeline():
    model = transformer("Llama", **MODELS["Llama"][0])
    assert recognise(model)[0] is model


def test_what_is_wrong_with_a_text_is_said(bert):
    tokenizer = wordpiece()
    long = " ".join(["film"] * 60)
    explainer = camscope.Explainer(bert, tokenizer=tokenizer)
    count = len(tokenizer(long)["input_ids"])
    with pytest.raises(camscope.InputError, match=f"has {count} tokens; the model takes 64.*truncation=True"):
        explainer(["a film", long])
    with pytest.raises(camscope.InputError, match="has 80 tokens; the model takes 64"):
        explainer(torch.randint(5, 60, (1, 80)))
    cut = tokenizer(long, truncation=True, return_tensors="pt")
    assert explainer(cut).maps().shape == (1, 1, 64)
    with pytest.raises(camscope.InputError, match=r"no tokenizer came with this BertFor.*save_pretrained"):
        camscope.explain(bert, "a film")
    with pytest.raises(camscope.InputError, match="no token 999: this model knows 400"):
        explainer(torch.tensor([[2, 999, 3]]))
    with pytest.raises(
        camscope.LayerError, match=r"only the first or the last token.*'bert\.encoder\.layer\.1'"
    ):
        # long enough to be sure of its places, whatever numbers the tokenizer, which is trained anew, gives to words
        explainer(
            "a film that i loved and a plot that was slow and dull but not bad at all",
            layers="bert.encoder.layer.2",
        )
    with pytest.raises(camscope.MethodError, match="token numbers"):
        explainer("a film", methods="scorecam")
    assert any("not in the vocabulary" in note and "😀" in note for note in explainer("a film 😀").notes)


def test_roberta_counts_positions_from_behind_the_padding():
    model = transformer("Roberta", **{**SMALL, "pad_token_id": 1})
    assert camscope.explain(model, torch.full((1, 38), 7)).maps().shape == (1, 1, 38)
    with pytest.raises(camscope.InputError, match="has 39 tokens; the model takes 38"):
        camscope.explain(model, torch.full((1, 39), 7))
