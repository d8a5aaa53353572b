"""The methods: pure maths from evidence to maps. Importing this package registers all of them."""

# The register lists methods in the order of these lines.
# isort: off
from camscope.methods import cam
from camscope.methods import gradient
from camscope.methods import ablation
from camscope.methods import scorecam
from camscope.methods import groupcam
from camscope.methods import polycam
from camscope.methods import rise
from camscope.methods import opticam
from camscope.methods import fullgrad
from camscope.methods import attention
from camscope.methods import pca
from camscope.methods import agnostic
# isort: on

from camscope.methods.registry import (
    BehindLinearHead,
    Explained,
    Method,
    default_method,
    get_method,
    list_methods,
    method,
)

__all__ = [
    "BehindLinearHead",
    "Explained",
    "Method",
    "ablation",
    "agnostic",
    "attention",
    "cam",
    "default_method",
    "fullgrad",
    "get_method",
    "gradient",
    "groupcam",
    "list_methods",
    "method",
    "opticam",
    "pca",
    "polycam",
    "rise",
    "scorecam",
]
