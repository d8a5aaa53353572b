"""The columns of a run's rows: one for each image, target, method and layer, or for an image that failed."""

from __future__ import annotations

from functools import cache
from typing import Any

from camscope.runs.map_numbers import NUMBERS
from camscope.runs.needed_packages import pyarrow_modules

FAILED = "failed"
"""The status of an image that could not be explained."""

HEAVY = ("map", "target_about", "geometry")
"""What is large, and nothing to ask by: it is in the shards alone."""

SIMILARITY = "similarity"
"""How like its class's mean map a map is: in the index alone, since it is known when all maps are."""


TRUST = "trust"
"""What a short test says of a map, see `camscope.runs.short_test`: only where it was asked for."""


@cache
def schema(*, trust: bool = False) -> Any:
    """The columns and their types.

    - `id`: the number of the image in the list of inputs; `row`: of the row among those of its image.
    - `source`, `kind`, `first`, `second`: where its bytes lie, see `camscope.runs.sources.one_input.Input`;
      `file_digest`: a digest of them.
    - `label`: as it came with the data, under the model's own name if it is one of its classes: `label_index`.
    - `status`: see `camscope.results.Status`; or `failed`, with its `reason`, where all that follows is null.
    - `height`, `width`: of the photo; `geometry`: how its pixels map to the model's input.
    - `top1…`, `top_…`: the best classes, best first.
    - `target…`: what is explained: its words, its number among the image's targets, its class, its score, and all that
      is known of it as JSON.
    - `map`: the raw signed map, row by row, divided by `scale`; `map_shape`; `low`, `high`: its ends.
    - numbers of the heatmap: see `camscope.runs.map_numbers.MapNumbers`.

    Args:
        trust: whether there is a column of that name.
    """
    pa, _ = pyarrow_modules()
    text, whole, real = pa.string(), pa.int32(), pa.float32()
    pair = pa.list_(pa.float64())
    columns = {
        "id": pa.int64(),
        "row": whole,
        "source": text,
        "label": text,
        "label_index": whole,
        "status": text,
        "reason": text,
        "height": whole,
        "width": whole,
        "top1": text,
        "top1_index": whole,
        "top1_logit": real,
        "top1_probability": real,
        "target": text,
        "target_number": whole,
        "target_index": whole,
        "score": real,
        "probability": real,
        "method": text,
        "layer": text,
        **dict.fromkeys(NUMBERS, real),
        **({TRUST: real} if trust else {}),
        "box": pa.list_(real),
        "low": real,
        "high": real,
        "top_classes": pa.list_(whole),
        "top_names": pa.list_(text),
        "top_logits": pa.list_(real),
        "top_probabilities": pa.list_(real),
        "notes": pa.list_(text),
        "target_about": text,
        "geometry": pa.struct([("input_size", pa.list_(whole)), ("scale", pair), ("offset", pair)]),
        "kind": text,
        "first": pa.int64(),
        "second": pa.int64(),
        "file_digest": text,
        "scale": real,
        "map_shape": pa.list_(whole),
        "map": pa.list_(pa.float16()),
    }
    return pa.schema(list(columns.items()))
