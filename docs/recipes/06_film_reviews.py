"""
Which words carry the sentiment?
================================

A small network reads film reviews and says whether they are kind. A class activation map needs no picture: the "grid"
of this network is the row of words, and the map says which of them spoke for *positive* and which against.

The sentences are 10,605 snippets of real reviews, each rated by people from −4 to 4 (Pang & Lee, ACL 2005; rated by
Hutto & Gilbert, ICWSM 2014). They come in the source package of vaderSentiment, which pip fetches.
"""

# sphinx_gallery_thumbnail_number = 4

import argparse
import csv
import random
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

import camscope
from rated_reviews import fetch

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument(
    "--data",
    type=Path,
    help="a .csv with columns text and rating; or the folder of the package",
)
parser.add_argument(
    "--out",
    type=Path,
    default=Path("camscope-out/film-reviews"),
    help="where pictures go",
)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# %%
# The data
# --------
# A sentence is positive if people rated it above zero. Sentences within ±0.5 are left out: people did not agree on
# them. One in five is held out, and never seen in training. A word must occur twice to get a number of its own; all
# others are the same unknown word 0 to the network.

if args.data and args.data.suffix == ".csv":
    with args.data.open(newline="", encoding="utf-8") as file:
        snippets = [(row["text"], float(row["rating"])) for row in csv.DictReader(file)]
else:
    with tempfile.TemporaryDirectory() as folder:
        snippets = fetch(args.data or Path(folder)).snippets


def words_of(text):
    """Its words and punctuation marks, in lower case."""
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.lower())


rated = [
    (text, int(rating > 0))
    for text, rating in snippets
    if abs(rating) > 0.5 and words_of(text)
]
random.Random(args.seed).shuffle(rated)
held_out, known = rated[: len(rated) // 5], rated[len(rated) // 5 :]
counts = Counter(word for text, _ in known for word in words_of(text))
vocabulary = {"<unk>": 0} | {
    word: i + 1 for i, word in enumerate(w for w, n in counts.items() if n > 1)
}
majority = max(np.mean([y for _, y in held_out]), 1 - np.mean([y for _, y in held_out]))
print(
    f"{len(known)} sentences to learn from, {len(held_out)} held out, {len(vocabulary)} words"
)
print(f"always saying the commoner class would be right {majority:.1%} of the time")

# %%
# The network
# -----------
# Each word becomes 64 numbers. One convolution looks at words one by one, another at three in a row ("not very
# good"). Then comes what makes a CAM possible: the mean over all words, and one linear layer.
#
# .. math:: M_c(t) = \sum_k \, w^c_k A^k_t, \qquad S_c = \frac{1}{T} \; \sum_{t=1}^{T} \, M_c(t) + b_c
#
# :math:`A^k_t` is channel *k* at word *t*, and :math:`M_c(t)` is the map: what word *t* adds to the score of class
# *c*. The sum is the score. Nothing is estimated.


class Reader(nn.Module):
    """Token numbers, batch × word, to two logits."""

    def __init__(self, words, width=64):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.one, self.three = (
            nn.Conv1d(width, width, 1),
            nn.Conv1d(width, width, 3, padding=1),
        )
        self.relu, self.drop = nn.ReLU(), nn.Dropout(0.5)
        self.head = nn.Linear(2 * width, 2)

    def forward(self, numbers):
        """The logits of negative and positive."""
        x = self.embedding(numbers).transpose(1, 2)
        x = self.relu(torch.cat([self.one(x), self.three(x)], dim=1))
        return self.head(self.drop(x.mean(dim=2)))


def batches(sentences, size=64):
    """Batches of sentences of one length, so that there is no padding."""
    by_length = defaultdict(list)
    for text, label in sentences:
        numbers = [vocabulary.get(word, 0) for word in words_of(text)]
        by_length[len(numbers)].append((numbers, label))
    for some in by_length.values():
        for start in range(0, len(some), size):
            numbers, labels = zip(*some[start : start + size], strict=True)
            yield torch.tensor(numbers), torch.tensor(labels)


torch.manual_seed(args.seed)
model = Reader(len(vocabulary))
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
learning, testing = list(batches(known)), list(batches(held_out))
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimiser, 3e-3, total_steps=args.epochs * len(learning)
)
for epoch in range(args.epochs):
    model.train()
    for i in torch.randperm(len(learning)).tolist():
        numbers, labels = learning[i]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(numbers), labels).backward()
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        right = sum(
            (model(numbers).argmax(1) == labels).sum().item()
            for numbers, labels in testing
        )
    accuracy = right / len(held_out)
    print(f"epoch {epoch + 1}: {accuracy:.1%} of the held-out sentences right")

# %%
# The words
# ---------
# The tokenizer and the names of the classes are all that camscope must be told. With two classes a logit by itself is
# half the story, since what counts is which one is higher. So the target is the difference, positive − negative.

explainer = camscope.Explainer(
    model,
    tokenizer=camscope.Vocabulary(vocabulary, split=words_of),
    class_names=["negative", "positive"],
)
kind = camscope.Contrast("positive", "negative", gamma=1.0)
reviews = [
    "A gripping, beautifully acted film with a warm heart.",
    "The plot is a mess, the jokes are stale and it never ends.",
    "Visually stunning, but the story is dull and far too long.",
    "It is not a bad film, and the ending is a delight.",
]
e = explainer(reviews, methods="cam", targets=kind)
for i, review in enumerate(reviews):
    print(f"{float(e.probabilities[i, 1]):.0%} positive: {review}")
e.figure(2).savefig(args.out / "mixed.png", dpi=200)

# %%
# Orange speaks for *positive*, blue against. What to look at: does the colour change where the opinion does, at
# "but"?
#
# The proof that nothing is left out: the mean of the map plus the difference of the two biases is the difference of
# the two logits. It holds to rounding for every sentence, trained or not.

bias = (model.head.bias[1] - model.head.bias[0]).item()
worst = 0.0
for i in range(len(reviews)):
    said = (e.logits[i, 1] - e.logits[i, 0]).item()
    worst = max(worst, abs(e.token_evidence(i)[0].mean() + bias - said))
print(
    f"largest difference between the sum of the words and what the model says: {worst:.1e}"
)

# %%
# Word by word
# ------------
# At the layer above, each position has seen its two neighbours: a strong word lends its colour to those beside it. At
# the *embedding* every position is one word and nothing else. There is no mean and linear layer right behind it, so
# CAM does not exist there; HiResCAM, gradient times activation, does.

words = explainer(reviews, methods="hirescam", layers="embedding", targets=kind)
words.figure(2).savefig(args.out / "mixed-word-by-word.png", dpi=200)
words.figure(3).savefig(args.out / "negation.png", dpi=200)

# %%
# Over all held-out reviews
# -------------------------
# One sentence is an anecdote. Here is each word's mean evidence over all held-out reviews, for words that occur at
# least eight times there. The network was never told which words are kind.

texts = [text for text, _ in held_out]
evidence = defaultdict(list)
overall = explainer(texts, methods="hirescam", layers="embedding", targets=kind)
for i in range(len(texts)):
    for word, value in overall.words(i):
        evidence[word.lower()].append(value)
mean = {word: np.mean(values) for word, values in evidence.items() if len(values) >= 8}
ranked = sorted(mean, key=mean.__getitem__)

from matplotlib.figure import Figure  # noqa: E402

low, high = ranked[: min(12, len(ranked) // 2)], ranked[-min(12, len(ranked) // 2) :]
figure = Figure(figsize=(7, 5.4), layout="constrained")
axes = figure.add_subplot()
axes.barh(low, [mean[word] for word in low], color="#3d6fb4")
axes.barh(high, [mean[word] for word in high], color="#d9730d")
axes.axvline(0, color="0.3", linewidth=0.8)
axes.set_xlabel("mean evidence for positive (logit)")
axes.spines[["top", "right", "left"]].set_visible(False)
axes.tick_params(left=False)
figure.savefig(args.out / "words.png", dpi=200)
print("most against:", ", ".join(ranked[:8]))
print("most for:    ", ", ".join(reversed(ranked[-8:])))

# %%
# What can mislead
# ----------------
# * **A word's colour is what it did in this sentence, in this network.** It is not what the word means. Among the
#   bars are words that say nothing by themselves, and are coloured because they often stand in complaints.
# * **Negation.** "Not bad" needs both words. A window of three can learn it where it was frequent; a sum of words
#   cannot. Look at the last review above: where *bad* stays blue the network has not understood it, however right its
#   answer is.
# * **Unknown words** all share one vector. camscope says so in a note: read ``e.notes``.
# * **A target alone.** The map of the logit *positive* also shows what raises both logits alike. Take the difference.
