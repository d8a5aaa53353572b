"""The numbers of README and site that were measured, out of the files that the benchmarks wrote.

    python benchmarks/speed.py --json-file benchmarks/kept/speed.json
    python benchmarks/family.py --json-file benchmarks/kept/family.json
    python -m benchmarks.localisation --markdown --json-file benchmarks/kept/localisation.json
    python -m benchmarks.kept_numbers     # puts them into README.md and docs/facts

`tests/test_kept_numbers.py` holds that every number there is the file's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import scale
from benchmarks.page_parts import put

ROOT = Path(__file__).parents[1]
KEPT = Path(__file__).with_name("kept")

MODELS = {"resnet50": "ResNet-50", "densenet121": "DenseNet-121", "vit_b_16": "ViT-B/16"}
GRAD_CAM = "Grad-CAM, top class"
DIFFER = {
    "camscope": "",
    "torch-cam": "Grad-CAM++",
    "captum": "",
    "pytorch-grad-cam": "Ablation-CAM, Eigen-CAM, FEM",
}
"""The libraries beside each other, and their formulas that differ from the papers': see docs/facts/peers.md."""

NAME = "measured: made by python -m benchmarks.kept_numbers"


@dataclass(frozen=True)
class Numbers:
    """What was measured.

    Attributes:
        folder: where the files are.
    """

    folder: Path = KEPT

    @cached_property
    def speed(self) -> Mapping[str, Any]:
        """See speed.py."""
        return self._read("speed")

    @cached_property
    def family(self) -> Mapping[str, Any]:
        """See family.py."""
        return self._read("family")

    @cached_property
    def localisation(self) -> Mapping[str, Mapping[str, Any]]:
        """The rows of localisation.py, by method."""
        return {row["name"]: row for row in self._read("localisation")["rows"]}

    def ratio(self, section: str, model: str, who: str = "camscope") -> Mapping[str, Any] | None:
        """A row of speed.py; None where that was not measured."""
        wanted = section, model, who
        return next((r for r in self.speed["rows"] if (r["section"], r["model"], r["who"]) == wanted), None)

    def seconds(self, task: str, who: str) -> float:
        """Of a line of family.py."""
        return next(
            float(line["seconds"])
            for line in self.family["lines"]
            if (line["task"], line["who"]) == (task, who)
        )

    def share(self, method: str) -> float:
        """Of a method's map, on the right photo of a mosaic."""
        return float(self.localisation[method]["mean"])

    def _read(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text("utf-8"))


# ---------------------------------------------------------------------- README.md


def _in_words(machine: str) -> str:
    """`AMD EPYC, 2 cores, one thread` as a part of a sentence."""
    return machine.replace(", ", " with ", 1).replace(", ", " and ")


def readme(numbers: Numbers) -> str:
    """The section of speed and truth."""
    where, _, how = numbers.speed["machine"].partition("; ")
    lines = [
        f"{how.partition(',')[0].capitalize()} of 224² on an {_in_words(where)}, as a multiple of the "
        "bare forward, in brackets the peak memory\nlikewise ([all figures](docs/facts/speed.md); no GPU was at hand):",
        "",
        f"| {GRAD_CAM} | {' | '.join(MODELS.values())} | formulas that differ from the paper's |",
        "|---|---:|---:|---:|---|",
    ]
    for who, differ in DIFFER.items():
        shown = "**camscope**" if who == "camscope" else who
        cells = [_ratio_and_memory(numbers.ratio(GRAD_CAM, model, who)) for model in MODELS]
        lines.append(f"| {shown} | {' | '.join(cells)} | {differ} |")
    every = numbers.ratio("Grad-CAM, all 1,000 classes", "resnet50")
    ablation = "Ablation-CAM, resnet50 layer4"
    share = {name: f"{numbers.share(name):.2f}" for name in numbers.localisation}
    alike = sorted({share["layercam"], share["gradcam++"]})
    lines += [
        "",
        f"All 1,000 classes of ResNet-50 cost {every['ratio'] if every else '?':.2f}; Ablation-CAM there "
        f"{numbers.seconds(ablation, 'camscope'):.2f} s where pytorch-grad-cam takes "
        f"{numbers.seconds(ablation, 'pytorch-grad-cam'):.0f} s.",
        "Do maps point at the right thing? Share of the map on the right photo of 2×2 mosaics (chance 0.25): Finer-CAM "
        f"{share['finercam']},",
        f"Grad-CAM {share['gradcam']}, Ablation-CAM {share['ablationcam']}, Score-CAM {share['scorecam']}, LayerCAM "
        f"and Grad-CAM++ {' and '.join(alike)}, what knows no class {share['mean-activation']}",
        "([table](docs/facts/localisation.md)). Which of them beat their baselines photo by photo: the "
        "[leaderboard](docs/leaderboard.md).",
    ]
    return "\n".join(lines)


# ---------------------------------------------------------------------- docs/facts


def speed(numbers: Numbers) -> str:
    """The table of speed.py."""
    _, _, rest = numbers.speed["machine"].partition("; ")
    where = _in_words(numbers.speed["machine"].partition(";")[0])
    lines = [
        f"Measured by `benchmarks/speed.py` on an {where}: {rest}. Each figure is a multiple of the bare forward "
        "of the same batch\n(`no_grad`), good to about ±5 %; in brackets the peak memory, weights included, as a "
        "multiple of the forward's.",
        "",
        f"| | {' | '.join(MODELS.values())} |",
        "|---|---:|---:|---:|",
    ]
    rows = {
        "**camscope**, Grad-CAM, top class": (GRAD_CAM, "camscope", "not measured"),
        "torch-cam": (GRAD_CAM, "torch-cam", "not measured"),
        "captum (finding the class included)": (GRAD_CAM, "captum", "not measured"),
        "pytorch-grad-cam": (GRAD_CAM, "pytorch-grad-cam", "not measured"),
        "**camscope**, all 1,000 classes": ("Grad-CAM, all 1,000 classes", "camscope", "no GAP head"),
        "**camscope**, `optimised=True`": (f"{GRAD_CAM}, on an optimised copy", "camscope, optimised", ""),
        '**camscope**, `optimised="bfloat16"`': (
            f"{GRAD_CAM}, on an optimised copy",
            "camscope, bfloat16",
            "",
        ),
        "**camscope**, ten methods × three layers, 1 class": (
            "10 methods × 3 layers, 1 class",
            "camscope",
            "",
        ),
        "**camscope**, ten methods × three layers, 5 classes": (
            "10 methods × 3 layers, 5 classes",
            "camscope",
            "",
        ),
    }
    for shown, (section, who, lacking) in rows.items():
        cells = [_ratio_and_memory(numbers.ratio(section, model, who), lacking) for model in MODELS]
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_costly(numbers)])


TASKS = {
    "Ablation-CAM, resnet50 layer4": "Ablation-CAM, ResNet-50 `layer4` (closed form)",
    "Ablation-CAM, vgg16 features.29": "Ablation-CAM, VGG-16 last convolution",
    "Ablation-CAM, vit_b_16 encoder.layers.encoder_layer_11.ln_1": "Ablation-CAM, ViT-B/16 last block",
    "FullGrad, resnet50": "FullGrad, ResNet-50",
    "Eigen-CAM, resnet50 layer1": "Eigen-CAM, ResNet-50 `layer1`",
    "Score-CAM, resnet18 layer4": "Score-CAM, ResNet-18, 503 live channels",
}
"""What family.py measures, as the page has it."""


def _costly(numbers: Numbers) -> list[str]:
    """The table of family.py: each task by camscope, then by the others, with how many times as long they take."""
    where, _, rest = numbers.family["machine"].partition("; ")
    lines = [
        f"The costly methods, one image of 224² on an {_in_words(where)} (`benchmarks/family.py`; {rest}; single runs "
        "of what takes long):",
        "",
        "| | camscope | others |",
        "|---|---:|---|",
    ]
    for task, shown in TASKS.items():
        of_task = [line for line in numbers.family["lines"] if line["task"] == task]
        own = next(line for line in of_task if line["who"] == "camscope")
        others = [
            f"{line['who']} {_taken(line)} ({_times(line['seconds'] / own['seconds'])} ×)"
            for line in of_task
            if line is not own
        ]
        lines.append(f"| {shown} | {_taken(own)} | {'; '.join(others)} |")
    return lines


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def _taken(line: Mapping[str, Any]) -> str:
    """How long a task took, and with how much memory beside the model's if that was looked at."""
    memory = "" if line["extra"] is None else f", {line['extra'] / 2**20:.0f} MiB"
    return f"{line['seconds']:.3g} s{memory}"


def localisation(numbers: Numbers) -> str:
    """The table of localisation.py, best first; what knows no class, below."""
    lines = ["| method | mean | lowest | heaviest | maps |", "|---|---:|---:|---:|---:|"]
    rows = numbers.localisation.values()
    for row in sorted(rows, key=lambda row: (not row["class_specific"], -row["mean"])):
        name = f"`{row['name']}`" + (f" as `{row['ran']}`" if row["ran"] else "")
        name += "" if row["class_specific"] else " (knows no class)"
        lines.append(
            f"| {name} | {row['mean']:.2f} | {row['lowest']:.2f} | {row['heaviest']:.0%} | {row['maps']} |"
        )
    return "\n".join(lines)


def _ratio_and_memory(row: Mapping[str, Any] | None, lacking: str = "") -> str:
    if row is None:
        return lacking or "not measured"
    if row["unit"] == "× limit":
        return f"{row['ratio']:.2f} × the limit"
    memory = "" if row["memory"] is None else f" ({row['memory']:.2f})"
    return f"{row['ratio']:.2f}{memory}"


def cost(numbers: Numbers) -> str:
    """What runs cost: see scale.py, which measures it too."""
    return scale.page(scale.read(numbers.folder))


PAGES = {
    "README.md": readme,
    "docs/facts/speed.md": speed,
    "docs/facts/localisation.md": localisation,
    "docs/scale.md": cost,
}
"""Each page with a part that is made here."""


def main() -> None:
    """Put the numbers into the pages."""
    for page, made in PAGES.items():
        put(ROOT / page, NAME, made(Numbers()))


if __name__ == "__main__":
    main()
