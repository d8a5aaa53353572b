"""Are the maps the same, bit for bit, as before a change? Forty calls on the demo model, with real weights and photos.

    python -m benchmarks.same_maps before.json                      # on the old code
    python -m benchmarks.same_maps after.json --against before.json # on the new code: names every call that differs

A digest covers what a call returns: raw maps, heatmaps, scores, logits, statuses, and the pixels of one overlay. Both
runs must be on one machine with one number of threads, since another order of sums changes the last bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data

import camscope

LATE = "blocks.5"
MIDDLE = "blocks.3"
EARLY = "blocks.2"
CHEAP = [
    *("cam", "gradcam", "hirescam", "layercam", "gradcam++", "gradcam++-official", "xgradcam"),
    *("gradcam-elementwise", "shapley", "guided-gradcam", "ablationcam", "liftcam", "reciprocam"),
    *("reciprocam-gaussian", "scorecam(top=8)", "gscorecam(top=8)", "groupcam", "fullgrad"),
    *("eigencam", "eigengradcam", "kpcacam", "fem", "mean-activation", "random", "centre"),
]
"""Methods of which one call takes a few seconds at most."""

TARGETS: dict[str, Any] = {
    "two classes": [281, 285],
    "top 3": camscope.TopK(3),
    "against": camscope.Contrast(281, against=282),
    "similar": "281 vs similar",
    "probability": camscope.Class(281, of="probability"),
    "negated": -camscope.Class("tabby"),
    "one for each image": camscope.PerImage([281, 967, 0]),
}

COMPOSED = [
    *("smooth(gradcam, n=2)", "smooth(layercam, n=2, average=gradients)", "augment(gradcam)"),
    *(
        "multiscale(hirescam)",
        "path(gradcam, n=2)",
        "fuse(layercam, max)",
        "finer(gradcam)",
        "balanced(hirescam)",
    ),
]


def photos() -> list[Image.Image]:
    """Three photos, none of them square but the last."""
    return [Image.fromarray(pixels) for pixels in (data.chelsea(), data.coffee(), data.astronaut())]


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each call's name and its arguments."""
    for method in CHEAP:
        name = method.partition("(")[0]
        known = name in {m.name for m in camscope.list_methods()}
        if known:
            yield method, {"methods": method, "targets": [281]}
    for name, targets in TARGETS.items():
        yield f"targets: {name}", {"methods": ["gradcam", "layercam"], "targets": targets}
    for method in COMPOSED:
        yield method, {"methods": method, "targets": [281]}
    layers = [EARLY, MIDDLE, LATE]
    yield "three layers", {"methods": ["gradcam", "hirescam", "eigencam"], "layers": layers}
    yield "channels", {"methods": "gradcam", "channels": 5}
    yield (
        "everything at once",
        {"methods": ["gradcam", "finer(layercam)", "smooth(gradcam, n=2)"], "layers": layers},
    )


def digest(e: camscope.Explanation) -> str:
    """Of all that a call returns."""
    sha = hashlib.sha256()

    def add(name: str, array: Any) -> None:
        values = np.ascontiguousarray(np.asarray(array.detach() if hasattr(array, "detach") else array))
        sha.update(f"{name} {values.dtype} {values.shape}".encode())
        sha.update(values.tobytes())

    add("scores", e.scores)
    add("logits", e.logits)
    for method, layer in e.raw:
        add(f"raw {method} {layer}", e.raw[method, layer])
        add("heatmaps", e.heatmaps(method, layer))
        sha.update(repr([[str(s) for s in row] for row in e.status[method, layer]]).encode())
    for layer, kept in e.channels.items():
        add(f"channels {layer}", kept.activations)
    add("overlay", np.asarray(e.overlay(0, 0, *next(iter(e.raw)))))
    return sha.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    explainer, batch = camscope.Explainer("demo"), photos()
    found = {}
    for name, arguments in calls():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = digest(explainer(batch, **arguments))
        print(f"{name:40} {found[name][:16]}", flush=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    if given.against is None:
        return 0
    before = json.loads(given.against.read_text())
    differ = [name for name in before if found.get(name) != before[name]]
    print(f"{len(before) - len(differ)} of {len(before)} calls are the same, bit for bit.")
    for name in differ:
        print(f"differs: {name}")
    return bool(differ)


if __name__ == "__main__":
    raise SystemExit(main())
