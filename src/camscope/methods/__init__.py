"""The methods: pure maths from evidence to maps. Importing this package registers all of them."""

# The register lists methods in the order of these lines.
# isort: off
from camscope.methods.cam import cam
from camscope.methods.gradient import (
    channel_contributions,
    grad_cam,
    grad_cam_elementwise,
    grad_cam_plus_plus,
    grad_cam_plus_plus_official,
    guided_grad_cam,
    hires_cam,
    layer_cam,
    shapley,
    xgrad_cam,
)
from camscope.methods.ablation import (
    ablation_cam,
    lift_cam,
    recipro_cam,
    recipro_cam_gaussian,
    vit_recipro_cam,
)
from camscope.methods.scorecam import gscore_cam, score_cam, score_cam_paper, score_cam_paper_logit
from camscope.methods.groupcam import group_cam
from camscope.methods.polycam import pcam, pcam_minus, pcam_plus
from camscope.methods.rise import rise
from camscope.methods.opticam import opti_cam
from camscope.methods.fullgrad import full_grad
from camscope.methods.attention import attention_map, chefer, grad_eclip, legrad, rollout
from camscope.methods.pca import eigen_cam, eigen_grad_cam, kpca_cam
from camscope.methods.agnostic import centre, fem, mean_activation, random
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
    "ablation_cam",
    "attention_map",
    "cam",
    "centre",
    "channel_contributions",
    "chefer",
    "default_method",
    "eigen_cam",
    "eigen_grad_cam",
    "fem",
    "full_grad",
    "get_method",
    "grad_cam",
    "grad_cam_elementwise",
    "grad_cam_plus_plus",
    "grad_cam_plus_plus_official",
    "grad_eclip",
    "group_cam",
    "gscore_cam",
    "guided_grad_cam",
    "hires_cam",
    "kpca_cam",
    "layer_cam",
    "legrad",
    "lift_cam",
    "list_methods",
    "mean_activation",
    "method",
    "opti_cam",
    "pcam",
    "pcam_minus",
    "pcam_plus",
    "random",
    "recipro_cam",
    "recipro_cam_gaussian",
    "rise",
    "rollout",
    "score_cam",
    "score_cam_paper",
    "score_cam_paper_logit",
    "shapley",
    "vit_recipro_cam",
    "xgrad_cam",
]
