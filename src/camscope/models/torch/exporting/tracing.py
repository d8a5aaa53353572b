"""From a model with maps to one graph of PyTorch's operations, with any number of rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import fx, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel

from camscope.errors import ModelError, first_line
from camscope.evidence import Evidence, LinearHead
from camscope.models.map_programs import MapsOf
from camscope.models.torch.exporting.decompositions import PooledContiguously, backwards_as_forwards
from camscope.models.torch.exporting.with_maps import WithMaps
from camscope.models.torch.hooks.session import overriding

BATCH_AXIS = "batch"
"""The name of the axis that may have any size."""


_MOST_ROWS = 2**31 - 1
"""In a batch. Without a limit PyTorch 2.7 finds that a graph does not hold for the greatest number there is."""


def traced(module: WithMaps, given: Float[torch.Tensor, "batch ..."], *, backward: bool) -> ExportedProgram:
    """The forward of a model with maps as a graph.

    Args:
        module: the model with maps.
        given: two inputs. The graph takes any number of such.
        backward: whether it computes gradients, which are written out as forward operations first.

    Raises:
        ModelError: if the forward depends on values in a way that no graph can hold, or on the number of rows.
    """
    with _saying_what_cannot_be_traced(), torch.no_grad():
        graph = _with_backward(module, given) if backward else module
        return torch.export.export(
            graph, (given,), dynamic_shapes=({0: Dim(BATCH_AXIS, min=1, max=_MOST_ROWS)},), strict=False
        )


@functools.lru_cache(maxsize=64)
def can_be_traced(maps: MapsOf) -> bool:
    """Whether a method's arithmetic is the same for all inputs; a step that looks at a value cannot be traced.

    Args:
        maps: the method. It is tried on activations, gradients and a linear head.
    """

    def function(activations: torch.Tensor, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return cast(
            torch.Tensor, maps(Evidence(activations, gradients, head=LinearHead(weights, activations, True)))
        )

    shapes = ((2, 3, 4, 5), (2, 6, 3, 4, 5), (2, 6, 3))
    try:
        _graph_of(function, *(torch.ones(shape) for shape in shapes))
    except Exception:  # whatever PyTorch says of it, it is no graph
        return False
    return True


def _with_backward(module: WithMaps, given: torch.Tensor) -> fx.GraphModule:
    """The forward and its backwards, below autograd, and all of it as forward operations."""
    with ExitStack() as stack:
        # other attention kernels have backwards of their own, which no other format knows
        stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
        stack.enter_context(overriding(PooledContiguously()))
        graph = _graph_of(module, given)
    _with_names_of(module.model, graph)
    return graph


def _graph_of(function: Callable[..., Any], *inputs: torch.Tensor) -> fx.GraphModule:
    """What a function computes of inputs with any number of rows."""
    fake = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)

    def with_any_rows(x: torch.Tensor) -> torch.Tensor:
        sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (x.ndim - 1)]
        return fake.from_tensor(x, symbolic_context=StatelessSymbolicContext(dynamic_sizes=sizes))

    with torch.no_grad(), enable_python_dispatcher(), fake:
        trace = make_fx(function, decomposition_table=backwards_as_forwards(), _allow_non_fake_inputs=True)
        graph = trace(*map(with_any_rows, inputs))
    graph.graph.eliminate_dead_code()
    return graph


def _with_names_of(model: nn.Module, graph: fx.GraphModule) -> None:
    """Give the weights in a graph the names that they have in the model, each once."""
    names = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    for node in graph.graph.nodes:
        if node.op != "get_attr":
            continue
        tensor = getattr(graph, node.target)
        if id(tensor) not in names:
            continue
        *path, last = names[id(tensor)].split(".")
        home: nn.Module = graph
        for part in ("model", *path):
            if part not in home._modules:
                home.add_module(part, nn.Module())
            home = home.get_submodule(part)
        setattr(home, last, tensor) if isinstance(tensor, nn.Parameter) else home.register_buffer(
            last, tensor
        )
        node.target = ".".join(("model", *path, last))
    for name in [name for name in (*graph._parameters, *graph._buffers) if not _is_used(graph, name)]:
        delattr(graph, name)
    graph.recompile()


def _is_used(graph: fx.GraphModule, name: str) -> bool:
    return any(node.op == "get_attr" and node.target == name for node in graph.graph.nodes)


@contextmanager
def _saying_what_cannot_be_traced() -> Iterator[None]:
    """Whatever PyTorch finds that no graph can hold, the error says it in one line."""
    try:
        yield
    except Exception as error:
        if "onstraints violated" in str(error):
            raise ModelError(
                "The model's forward fixes the number of rows, so no file of it would take batches of any size. It "
                "makes a plain number of it somewhere, as len(x) and int(x.shape[0]) do; use x.shape[0] itself, or -1 "
                "in a reshape."
            ) from error
        raise ModelError(
            f"This model cannot be written down as a graph of operations. PyTorch says: {reason_of(error)}"
        ) from error


def reason_of(error: BaseException) -> str:
    """What PyTorch says first of why something cannot be exported, as a sentence."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = first_line(error)
    return words if words.endswith((".", "!", "?")) else f"{words}."
