"""Compositions that the literature has names for."""

from __future__ import annotations

from camscope.composition.expressions import COMPOSITIONS, NAMED, Named, name_composition
from camscope.composition.fusion import Fuse
from camscope.composition.modifiers import Finer, Rest
from camscope.composition.wrappers import Augment, MultiScale, PathIntegral, Smooth
from camscope.methods import Method, get_method
from camscope.methods import list_methods as registered
from camscope.render import Tabular, TextTable

_OFTEN = "as the inner method, once for each of {} copies of the input"

name_composition(
    Finer(get_method("gradcam")),
    "finercam",
    "Zhang et al., CVPR 2025, arXiv:2501.11309",
    "What tells a class from those the model finds most like it; finer(…) does the same for any method.",
    "as gradcam",
)
name_composition(
    Rest(get_method("shapley")),
    "shapleycam",
    "Cai, The Visual Computer 2025, arXiv:2501.06261",
    "Most of what it gains over Grad-CAM is its target, logit + log-probability: rest(…) gives that to any "
    "method.",
    "1 forward + 2 short backwards per target",
)
name_composition(
    Smooth(get_method("gradcam++"), average="gradients"),
    "smoothgradcam++",
    "Omeiza et al. 2019, arXiv:1908.01224",
    "Grad-CAM++ of gradients averaged over noisy inputs; smooth(…) does the like for any method.",
    _OFTEN.format(16),
)
name_composition(
    Smooth(get_method("fullgrad"), n=25, average="gradients"),
    "smooth-fullgrad",
    "Srinivas & Fleuret, NeurIPS 2019, arXiv:1905.00780",
    "FullGrad of parts averaged over noisy inputs, signed, so that noise cancels before absolute values are "
    "taken: less grain.",
    _OFTEN.format(25),
)
name_composition(
    Smooth(get_method("scorecam-paper")),
    "sscam",
    "SS-CAM, Wang et al. 2020, arXiv:2006.14255",
    "Score-CAM averaged over noisy inputs (the paper averages the masked scores); a great many forwards for "
    "little.",
    _OFTEN.format(16),
)
name_composition(
    PathIntegral(get_method("scorecam-paper"), baseline="zero", n=10),
    "iscam",
    "IS-CAM, Naidu et al. 2020, arXiv:2010.03023",
    "Score-CAM summed along the path from the mean colour (the paper sums the masked scores); a great many "
    "forwards for little.",
    _OFTEN.format(10),
)
name_composition(
    PathIntegral(get_method("gradcam")),
    "integrated-gradcam",
    "Sattarzadeh et al., ICASSP 2021, arXiv:2102.07805",
    "Grad-CAM summed along the path from a black image: less saturated gradients, little else.",
    _OFTEN.format(20),
)
name_composition(
    MultiScale(get_method("hirescam"), sizes=tuple(size / 224 for size in range(224, 925, 100)), at="input"),
    "cameras",
    "Jalwana et al., CVPR 2021, arXiv:2106.10649",
    "Sharp maps from eight sizes of the input up to four times its own; slow and hungry for memory. Three "
    "sizes give most of it: multiscale(hirescam).",
    "1 forward + 1 backward at each of 8 sizes, together some 60 of them at the input's own",
)
name_composition(
    Augment(get_method("gradcam")),
    "augmented-gradcam",
    "after Morbidelli et al., ICASSP 2020: the mean, without their super-resolution",
    "Grad-CAM averaged over flips and brightness: steadier at little cost; augment(…) does it for any method.",
    _OFTEN.format(6),
)
name_composition(
    Fuse(get_method("layercam"), how="max"),
    "layercam-fused",
    "Jiang et al., IEEE TIP 30 (2021), eq. 9",
    "LayerCAM's fine shallow maps and its deep one together, as the paper shows them.",
    "1 forward + 1 backward per target, to the shallowest of the layers",
)
name_composition(
    Fuse(get_method("gradcam++"), how="product"),
    "refinecam",
    "Domeniconi et al. 2026, arXiv:2605.14641",
    "Only what all layers agree on: small, sharp maps; one layer that errs blanks the place.",
    "1 forward + 1 backward per target, to the shallowest of the layers",
)
name_composition(
    Fuse(get_method("hirescam"), how="max"),
    "zoomcam",
    "Shi et al., ICPR 2020, arXiv:2010.08644",
    "HiResCAM of several layers, the largest at each place.",
    "1 forward + 1 backward per target, to the shallowest of the layers",
)
for sign, what, count in (
    ("+", "by what each channel's part of the input alone scores", "1"),
    ("-", "by what the score loses without it", "1"),
    ("", "by both", "2"),
):
    name_composition(
        Fuse(get_method(f"pcam{sign}"), how="cascade"),
        f"polycam{sign}",
        "Englebert et al., ICPR 2022, arXiv:2204.13359",
        f"High resolution from a cascade of Score-CAMs {what}; a forward for every channel of every layer.",
        f"1 forward + {count} per live channel of each layer (all targets at once)",
    )


class MethodTable(Tabular, list[Method | Named]):
    """Methods, which show themselves as a table."""

    @property
    def names(self) -> list[str]:
        """The names, as `methods=` takes them."""
        return [m.name for m in self]

    def table(self) -> TextTable:
        """A row for each: what it is for, and where it comes from."""
        rows = [(m.name, m.advice, m.paper or "baseline") for m in self]
        around = "Around any of them go " + ", ".join(COMPOSITIONS) + ": smooth(layercam, n=16)."
        return TextTable(["method", "what for, and what it gets wrong", "from"], rows, caption=around)


def list_methods() -> MethodTable:
    """All methods and named compositions: methods first, then the compositions, baselines last.

    Example:
        >>> [m.name for m in camscope.list_methods() if not m.class_specific][:3]
        ['rollout', 'attention', 'eigencam']
    """
    methods = registered()
    family = [m for m in methods if not m.baseline]
    return MethodTable([*family, *NAMED.values(), *(m for m in methods if m.baseline)])
