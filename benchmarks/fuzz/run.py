"""Runs the fuzz, counts what it finds, and makes what is wrong smaller."""

from __future__ import annotations

import argparse
import collections
import itertools
import time
import traceback
from dataclasses import replace

import torch

from benchmarks.fuzz.checks import examine
from benchmarks.fuzz.drawing import KINDS, draw
from benchmarks.fuzz.findings import BAD, EQUAL, RESULTS, Finding
from benchmarks.fuzz.networks import Recipe
from benchmarks.fuzz.once_wrong import ONCE_WRONG


def bad(recipe: Recipe) -> list[Finding]:
    """What is wrong with the maps of a recipe."""
    return [finding for finding in examine(recipe) if finding.result in BAD]


def main() -> None:
    """Examine many networks, and print a table."""
    args = _arguments()
    torch.set_num_threads(1)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    reasons: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
    failed: dict[str, set[int]] = collections.defaultdict(set)
    start = time.perf_counter()
    drawn = (draw(seed, args.only) for seed in range(args.seed, args.seed + args.count))
    for recipe in itertools.chain(ONCE_WRONG, drawn):
        seed = recipe.seed
        try:
            findings = examine(recipe)
        except Exception:
            print(f"\nThe fuzz itself fails on seed {seed}:\n{recipe}\n{traceback.format_exc()}")
            failed["the fuzz itself"].add(seed)
            continue
        counts[recipe.kind].update(finding.result for finding in findings)
        counts[recipe.kind]["networks"] += 1
        for finding in findings:
            if finding.result != EQUAL:
                reasons[finding.result, finding.kind].append(seed)
        wrong = [finding for finding in findings if finding.result in BAD]
        if wrong:
            failed[recipe.kind].add(seed)
            _show(recipe, wrong, shrink=args.shrink)
    _table(counts, reasons, failed)
    seconds = time.perf_counter() - start
    print(f"\n{len(ONCE_WRONG)} networks that were wrong once and {args.count} others in {seconds:.0f} s")
    raise SystemExit(any(failed.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many networks")
    parser.add_argument("--seed", type=int, default=0, help="of the first; each has the next")
    parser.add_argument("--only", choices=sorted(KINDS), help="one kind of network")
    parser.add_argument("--shrink", action="store_true", help="make networks that are wrong smaller")
    return parser.parse_args()


def _show(recipe: Recipe, wrong: list[Finding], *, shrink: bool) -> None:
    first = wrong[0]
    print(f"\nseed {recipe.seed}, {recipe.kind}: {len(wrong)} wrong")
    for finding in wrong[:4]:
        print(f"    {finding.result}  {finding.about}: {finding.why}")
    print(smaller(recipe, first) if shrink else recipe, flush=True)


def _table(
    counts: dict[str, collections.Counter[str]],
    reasons: dict[tuple[str, str], list[int]],
    failed: dict[str, set[int]],
) -> None:
    print("\n| kind | networks | " + " | ".join(RESULTS) + " | networks with something wrong |")
    print("|---" * (len(RESULTS) + 3) + "|")
    for kind, found in sorted(counts.items()):
        numbers = " | ".join(str(found[word]) for word in ("networks", *RESULTS))
        print(f"| {kind} | {numbers} | {len(failed[kind])} |")
    for word in RESULTS[1:]:
        print(f"\n{word}")
        some = sorted((key for key in reasons if key[0] == word), key=lambda key: -len(reasons[key]))
        for key in some:
            seeds = list(dict.fromkeys(reasons[key]))
            print(f"    {len(reasons[key]):5}  {key[1]}  (seeds {', '.join(map(str, seeds[:4]))})")


def smaller(recipe: Recipe, finding: Finding) -> Recipe:
    """A smaller recipe with the same kind of failure: steps, heads and photos are left out while it stays."""

    def still(candidate: Recipe) -> bool:
        try:
            found = bad(candidate)
        except Exception:  # not every recipe makes a network
            return False
        return any((one.result, one.kind) == (finding.result, finding.kind) for one in found)

    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in _candidates(recipe):
            if still(candidate):
                recipe, shrunk = candidate, True
                break
    return recipe


def _candidates(recipe: Recipe) -> list[Recipe]:
    """The recipe with one thing less each time."""
    found = [
        replace(recipe, steps=recipe.steps[:number] + recipe.steps[number + 1 :])
        for number in range(len(recipe.steps))
    ]
    if len(recipe.photos) > 1:
        found += [
            replace(recipe, photos=recipe.photos[:n] + recipe.photos[n + 1 :])
            for n in range(len(recipe.photos))
        ]
    if len(recipe.heads) > 1:
        found += [replace(recipe, heads=(head,), returns="tensor") for head in recipe.heads]
    if recipe.training:
        found.append(replace(recipe, training=False))
    return found
