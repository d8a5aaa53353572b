"""Small models that read texts, and tokenizers of three kinds, all made here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn


class TextCNN(nn.Module):
    """Embedding, convolution, ReLU, the mean over all positions, one linear layer."""

    def __init__(self, words: int, width: int = 24, channels: int = 32, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.conv = nn.Conv1d(width, channels, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(channels, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token numbers `batch token` to logits."""
        return self.head(self.relu(self.conv(self.embedding(ids).transpose(1, 2))).mean(2))


def split(text: str) -> list[str]:
    """The words of a text and its punctuation marks, in lower case."""
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.lower())


def vocabulary_of(texts: Sequence[str], least: int = 2) -> dict[str, int]:
    """Every word that occurs so often, in alphabetic order; 0 stands for all others."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in split(text):
            counts[word] = counts.get(word, 0) + 1
    return {"<unk>": 0} | {
        word: i + 1 for i, word in enumerate(sorted(w for w, n in counts.items() if n >= least))
    }


def trained(
    texts: Sequence[str], classes: Sequence[int], vocabulary: dict[str, int], *, epochs: int, batch: int = 64
) -> TextCNN:
    """A text CNN trained on batches of texts of one length, so that there is no padding. The same at every run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TextCNN(len(vocabulary))
        optimiser = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-5)
        by_length: dict[int, list[tuple[list[int], int]]] = {}
        for text, label in zip(texts, classes, strict=True):
            ids = [vocabulary.get(word, 0) for word in split(text)]
            if ids:
                by_length.setdefault(len(ids), []).append((ids, label))
        batches = [
            group[start : start + batch]
            for group in by_length.values()
            for start in range(0, len(group), batch)
        ]
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            for number in rng.permutation(len(batches)):
                ids, labels = zip(*batches[number], strict=True)
                logits = model(torch.tensor(ids))
                optimiser.zero_grad()
                nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
                optimiser.step()
    return model.eval()


CORPUS = [
    "a film I loved , wonderful and moving",
    "the plot was dull and boring , unbelievably so",
    "don't go there , it's not good .",
    "unwatchable remarkable rewatchable",
]
"""What the tokenizers learn their pieces from: too little for whole words."""


def wordpiece() -> Any:
    """BERT's kind: ##ing goes on; lower case; [CLS] and [SEP] around."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=80, special_tokens=special, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )


def byte_level() -> Any:
    """GPT-2's and RoBERTa's kind: Ġ begins a word, and every byte has a letter of its own."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]),
        ]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def sentencepiece() -> Any:
    """T5's and XLM-RoBERTa's kind: ▁ begins a word."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


LABELS = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 400,
    "max_position_embeddings": 64,
    **LABELS,
}


def transformer(name: str = "Bert", **config: Any) -> nn.Module:
    """A sequence classifier with random weights, drawn wide enough that no output is all but zero."""
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind = getattr(transformers, f"{name}ForSequenceClassification")
        model = kind(getattr(transformers, f"{name}Config")(**(config or BERT))).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.2)
    return model
