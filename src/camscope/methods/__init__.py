"""The methods: pure maths from evidence to maps. Importing this package registers all of them."""

from camscope.methods.linear import cam  # isort: skip  # the register lists methods in the order of these lines
from camscope.methods.gradient import (  # isort: skip
    channel_contributions,
    grad_cam,
    grad_cam_plus_plus,
    grad_cam_plus_plus_official,
    hires_cam,
    layer_cam,
    xgrad_cam,
)
from camscope.methods.agnostic import centre, eigen_cam, mean_activation, random  # isort: skip
from camscope.methods.registry import Method, get_method, list_methods, method  # isort: skip

__all__ = [
    "Method",
    "cam",
    "centre",
    "channel_contributions",
    "eigen_cam",
    "get_method",
    "grad_cam",
    "grad_cam_plus_plus",
    "grad_cam_plus_plus_official",
    "hires_cam",
    "layer_cam",
    "list_methods",
    "mean_activation",
    "method",
    "random",
    "xgrad_cam",
]
