"""Which axes of a Keras model's input are space: its layers say whether channels come first or last."""

from __future__ import annotations

from typing import Any


def space_axes(model: Any) -> tuple[int, ...] | None:
    """The axes of space, counted with the batch as 0; None if the input's axes are the usual ones, or not known.

    Args:
        model: a Keras model.
    """
    import keras

    inputs = getattr(model, "inputs", None) or ()
    layers = model._flatten_layers(include_self=False)
    first = next(
        (layer for layer in layers if hasattr(layer, "data_format") and hasattr(layer, "rank")), None
    )
    shaped = [len(tensor.shape) for tensor in inputs if len(tensor.shape) > 2]
    if not shaped and (inputs or first is None):
        return None
    if first is None:
        axes, convention = shaped[0], keras.config.image_data_format()
    else:
        axes, convention = (shaped or [first.rank + 2])[0], first.data_format
        if axes == first.rank + 1:
            return tuple(range(1, axes))  # channels are added later
    return tuple(range(1, axes - 1)) if convention == "channels_last" else None
