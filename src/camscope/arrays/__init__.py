"""The maths that every array library shares: small operations, one resize, one blur, scales, masks and boxes."""

from camscope.arrays.blurring import blurred
from camscope.arrays.halving import displayed, halved, whole
from camscope.arrays.host import detached, to_numpy, with_array_api
from camscope.arrays.localise import Box, Components, boxes_of, mask_of
from camscope.arrays.normalise import Scale, check_scale, is_flat, scaled
from camscope.arrays.one_thread import product_on_one_thread
from camscope.arrays.ops import (
    Array,
    channel_sum,
    from_indices,
    from_numpy,
    multiplying_by,
    noting_channel_sums,
    over_space,
    relu,
    space_sum,
)
from camscope.arrays.resize import area_shares, place, resize, trimmed

__all__ = [
    "Array",
    "Box",
    "Components",
    "Scale",
    "area_shares",
    "blurred",
    "boxes_of",
    "channel_sum",
    "check_scale",
    "detached",
    "displayed",
    "from_indices",
    "from_numpy",
    "halved",
    "is_flat",
    "mask_of",
    "multiplying_by",
    "noting_channel_sums",
    "over_space",
    "place",
    "product_on_one_thread",
    "relu",
    "resize",
    "scaled",
    "space_sum",
    "to_numpy",
    "trimmed",
    "whole",
    "with_array_api",
]
