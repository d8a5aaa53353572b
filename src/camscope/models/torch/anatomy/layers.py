"""From the tensors that modules put out to layers: which module stands for a tensor, and which may be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

from camscope.models.grid import Grid, Still
from camscope.models.layer import Layer
from camscope.models.torch.anatomy.grids import Grids, OfOthers
from camscope.models.torch.anatomy.rows import Spot
from camscope.models.torch.anatomy.structure import attention_modules, outline, parents
from camscope.models.torch.anatomy.trace import Output, Trace
from camscope.models.torch.hooks.modules import named_layers

_POOLING = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._MaxUnpoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._LPPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)


def layers_of(
    model: nn.Module,
    trace: Trace,
    image: torch.Tensor,
    others: OfOthers = MappingProxyType({}),
    still: Mapping[Spot, Still] = MappingProxyType({}),
) -> tuple[Layer, ...]:
    """Every module whose output has a grid, in the order they finish.

    Where several modules put out the very same tensor all can be found by name, but only the outermost stands for it:
    it alone may be of the outline, or be chosen.

    Args:
        model: an unwrapped module.
        trace: of one forward.
        image: what it was run on, a batch of one.
        others: see `camscope.models.torch.anatomy.grids.Grids`.
        still: likewise.
    """
    modules = named_layers(model)
    in_outline = set(outline(model))
    attention = attention_modules(model)
    layers: dict[str, Layer] = {}
    grids = Grids(image, others, still)
    for output in trace.outputs:
        grid = grids.of_output(output)
        for name in output.names:  # a module that is called again counts where it is called last
            layers.pop(name, None)
        if grid is None:
            continue
        standing = _standing_for(output)
        eligible = (
            _has_new_features(output, grid, grids)
            and standing not in output.given_on
            and not isinstance(modules[standing], nn.modules.dropout._DropoutNd)
            and attention.isdisjoint(parents(standing))
        )
        for name in output.names:
            layers[name] = Layer(
                name=name,
                kind=type(modules[name]).__name__,
                shape=output.shape,
                grid=grid,
                calls=trace.calls[name],
                outline=name == standing and not in_outline.isdisjoint(output.names),
                eligible=name == standing and eligible,
                in_place=max(0.0, output.answer.agreement(grid)) if output.answer else 0.0,
            )
    return tuple(layers.values())


def _standing_for(output: Output) -> str:
    """The outermost of the modules around the one that made the tensor, of those that put out this tensor alone.

    A module elsewhere that is given the tensor and gives it on (an identity) does not stand for it. One activation that
    many blocks share has the name of its place in the first of them; the tensor stands in the block that called it.
    """
    alone = set(output.names) - output.with_others
    made_by = output.names[0]
    own = {made_by, *parents(made_by)}
    made_by = next((name for name in output.names if name not in own | output.given_on), made_by)
    return next((name for name in parents(made_by) if name in alone), made_by)


def _has_new_features(output: Output, grid: Grid, grids: Grids) -> bool:
    """Whether the tensor says something of its positions that what it was made from does not.

    A module without weights makes no new features where it pools, enlarges or rearranges a grid: another shape, but the
    same number of channels. An activation keeps the shape, a gate has other channels, and windows that are put together
    had no grid before. Pooling with stride 1 keeps the shape too, which the kind of module tells.

    Args:
        output: one that has a grid.
        grid: its grid.
        grids: as far as that output.
    """
    innermost = output.modules[0]
    if any(True for _ in innermost.parameters()):
        return True
    if any(isinstance(part, _POOLING) for part in innermost.modules()):
        return False
    if output.made_from is None or output.made_from.shape == output.shape:
        return True
    before = grids.of(output.made_from.shape, output.made_from.answer)
    return before is None or before.channels != grid.channels
