"""Numbers about maps, each for one question, with its direction, its range, its cost, its paper, and its baselines.

    m = camscope.metrics
    e = explainer(x, methods=["gradcam", "layercam"])
    m.srg(explainer, x, e, baselines=m.baseline_maps(explainer, x))

Metrics contradict each other, so never pool them, and never read one without the baselines beside it.
"""

from camscope.imputing import Blur, Constant, Imputer, Mean, Neighbours, Noise
from camscope.metrics.box_accuracy import max_box_accuracy
from camscope.metrics.confidence import adcc, average_drop, average_gain, average_increase
from camscope.metrics.grid_pointing import grid_pointing_game
from camscope.metrics.infidelity import infidelity
from camscope.metrics.insertion_deletion import deletion, insertion
from camscope.metrics.localisation import energy_inside, pointing_game
from camscope.metrics.map_properties import coherency, complexity, gini, hoyer
from camscope.metrics.measured_maps import Maps, baseline_maps
from camscope.metrics.metric import Measured, Metric, list_metrics
from camscope.metrics.other_classes import class_sensitivity, random_logit
from camscope.metrics.pixel_precision import pixel_average_precision
from camscope.metrics.randomisation import data_randomisation, emprt, model_randomisation, mprt
from camscope.metrics.removal_gain import road, road_lerf, road_morf, srg
from camscope.metrics.sensitivity import max_sensitivity, stability

__all__ = [
    "Blur",
    "Constant",
    "Imputer",
    "Maps",
    "Mean",
    "Measured",
    "Metric",
    "Neighbours",
    "Noise",
    "adcc",
    "average_drop",
    "average_gain",
    "average_increase",
    "baseline_maps",
    "class_sensitivity",
    "coherency",
    "complexity",
    "data_randomisation",
    "deletion",
    "emprt",
    "energy_inside",
    "gini",
    "grid_pointing_game",
    "hoyer",
    "infidelity",
    "insertion",
    "list_metrics",
    "max_box_accuracy",
    "max_sensitivity",
    "model_randomisation",
    "mprt",
    "pixel_average_precision",
    "pointing_game",
    "random_logit",
    "road",
    "road_lerf",
    "road_morf",
    "srg",
    "stability",
]
