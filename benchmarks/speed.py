"""camscope beside pytorch-grad-cam, torch-cam and captum: time as a multiple of the bare forward, and peak memory.

    python benchmarks/speed.py                       # ResNet-50, DenseNet-121, ViT-B/16; batch 8; 224²
    python benchmarks/speed.py --quick               # a first look: batch 2, one round
    python benchmarks/speed.py --device cuda
    python benchmarks/speed.py --markdown --json-file speed.json

All libraries run in one process on the same model and batch. How time and memory are measured: measure.py.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import cyclopts
import torch
from rich.console import Console
from rich.table import Table

import camscope
from measure import paired, peak_memory
from subjects import (
    TEN_METHODS,
    Subject,
    captum_class,
    captum_top,
    limit,
    pytorch_grad_cam_class,
    pytorch_grad_cam_top,
    subject,
    torchcam_class,
    torchcam_top,
)

CLASSES = [1, 17, 99, 340, 985]
"""Any five, so that nobody can profit from them being the top ones."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: what is asked.
        model: of whom.
        who: the library, or the limit.
        ratio: time, as a multiple of what the section says (`unit`).
        seconds: median; of an extrapolated row, what it would come to.
        extra: peak bytes beyond what was there before the call; None if not measured.
        memory: peak of everything, weights included, as a multiple of the bare forward's.
        aim: where camscope wants to be.
        note: whatever must be known of the line.
    """

    section: str
    model: str
    who: str
    ratio: float
    seconds: float
    unit: str = "× forward"
    extra: int | None = None
    memory: float | None = None
    aim: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """One model under one set of options."""

    s: Subject
    device: torch.device
    repeats: int
    with_memory: bool = True

    def rows(
        self,
        section: str,
        works: Mapping[str, Callable[[], object]],
        *,
        aims: Mapping[str, float] | None = None,
        notes: Mapping[str, str] | None = None,
        baseline: Callable[[], object] | None = None,
        unit: str = "× forward",
    ) -> Iterator[Row]:
        """Measure some works side by side."""
        times = paired(baseline or self.s.forward, works, self.repeats, self.device)
        bare = peak_memory(self.s.forward, self.device) if self.with_memory else 0
        for who, work in works.items():
            extra = peak_memory(work, self.device) if self.with_memory else None
            yield Row(
                section,
                self.s.name,
                who,
                times[who].ratio,
                times[who].seconds,
                unit,
                extra,
                None if extra is None else (self.s.weights + extra) / (self.s.weights + bare),
                (aims or {}).get(who),
                (notes or {}).get(who, ""),
            )

    # ------------------------------------------------------------------ the sections

    def one_method(self) -> Iterator[Row]:
        """Grad-CAM of the top class at the layer camscope chooses by itself."""
        s, explainer = self.s, camscope.Explainer(self.s.model)
        yield from self.rows(
            "Grad-CAM, top class",
            {
                "bare forward, no_grad": s.forward,
                "bare forward, inference_mode": s.forward_in_inference_mode,
                "camscope": lambda: explainer(s.x),
                "camscope, heatmaps at 224²": lambda: explainer(s.x).heatmaps(),
                "pytorch-grad-cam": pytorch_grad_cam_top(s, [s.chosen]),
                "torch-cam": torchcam_top(s, [s.chosen]),
                "captum": captum_top(s, s.chosen),
                "captum, class given": captum_class(s, s.chosen, CLASSES[0]),
            },
            aims={"camscope": 1.05},
            notes={
                "camscope": f"layer {s.chosen}",
                "captum": "with the forward that finds the class",
                "pytorch-grad-cam": "its NumPy arrays are not in the memory",
            },
        )

    def ten_methods(self) -> Iterator[Row]:
        """Ten methods × three layers in one call, against the arithmetic limit."""
        s, explainer = self.s, camscope.Explainer(self.s.model)
        for count in (1, 5):
            classes = CLASSES[:count]
            section = f"10 methods × 3 layers, {count} class{'es' if count > 1 else ''}"
            floor = limit(s, classes)
            ask = {"methods": TEN_METHODS, "layers": list(s.layers), "targets": classes}
            yield from self.rows(section, {"limit": floor})
            yield from self.rows(
                section,
                {"camscope": lambda ask=ask: explainer(s.x, **ask)},
                baseline=floor,
                unit="× limit",
                aims={"camscope": 1.2},
            )
            if count > 1:
                continue  # the peers' cost grows in proportion to the classes
            # each peer offers some of the ten, and needs a call for each method and class
            pgc = pytorch_grad_cam_class(s, s.layers, CLASSES[0])
            tc = torchcam_class(s, s.layers, CLASSES[0])
            one_layer = captum_class(s, s.layers[0], CLASSES[0])
            yield from self._extrapolated(
                section,
                {
                    "pytorch-grad-cam": (pgc, 5, "5 of the methods, the layers averaged into one map"),
                    "torch-cam": (tc, 4, "4 of the methods"),
                    "captum": (one_layer, 4, "2 of the methods, one of them layer by layer"),
                },
            )

    def all_classes(self) -> Iterator[Row]:
        """All 1,000 classes, where the head is global average pooling and one linear layer."""
        s = self.s
        if not s.gap_head:
            return
        explainer = camscope.Explainer(s.model)
        section = "Grad-CAM, all 1,000 classes"
        yield from self.rows(
            section,
            {"camscope": lambda: explainer(s.x, targets=camscope.AllClasses())},
            aims={"camscope": 1.1},
        )
        yield from self._extrapolated(
            section,
            {
                "pytorch-grad-cam": (pytorch_grad_cam_class(s, [s.chosen], CLASSES[0]), 1000, ""),
                "torch-cam": (torchcam_class(s, [s.chosen], CLASSES[0]), 1000, ""),
                "captum": (captum_class(s, s.chosen, CLASSES[0]), 1000, ""),
            },
        )

    def optimised(self) -> Iterator[Row]:
        """On a copy made for inference, against the user's own eager float32 forward."""
        s = self.s
        section = "Grad-CAM, top class, on an optimised copy"
        plain = camscope.explain(s.model, s.x, targets=CLASSES[0])
        works, notes = {}, {}
        real = _demo_agreement() if self.device.type == "cpu" else {}
        for who, option in {"camscope, optimised": True, "camscope, bfloat16": "bfloat16"}.items():
            explainer = camscope.Explainer(s.model, optimised=option)
            mine = explainer(s.x, targets=CLASSES[0])
            works[who] = lambda explainer=explainer: explainer(s.x)
            notes[who] = f"{_agreement(plain, mine)} (random weights){real.get(option, '')}"
        aims = {"camscope, optimised": 0.65, "camscope, bfloat16": 0.35}
        yield from self.rows(section, works, aims=aims, notes=notes)

    def latency(self) -> Iterator[Row]:
        """One image at a time."""
        one = dataclasses.replace(self.s, x=self.s.x[:1])
        explainer = camscope.Explainer(one.model)
        yield from dataclasses.replace(self, s=one).rows(
            "Grad-CAM, top class, one image",
            {
                "bare forward": one.forward,
                "camscope": lambda: explainer(one.x),
                "camscope.explain, a new model each time": lambda: camscope.explain(one.model, one.x),
                "pytorch-grad-cam": pytorch_grad_cam_top(one, [one.chosen]),
                "torch-cam": torchcam_top(one, [one.chosen]),
                "captum": captum_top(one, one.chosen),
            },
            notes={
                "camscope.explain, a new model each time": "with choosing the layer and the digest of the weights"
            },
        )

    def _extrapolated(
        self, section: str, peers: Mapping[str, tuple[Callable[[], object], int, str]]
    ) -> Iterator[Row]:
        measured = self.rows(section, {who: work for who, (work, _, _) in peers.items()})
        for row in measured:
            _, calls, what = peers[row.who]
            yield dataclasses.replace(
                row,
                who=f"{row.who} (extrapolated)",
                ratio=row.ratio * calls,
                seconds=row.seconds * calls,
                note=f"{calls} calls × {row.ratio:.2f}" + (f": {what}" if what else ""),
            )


SECTIONS = [Bench.one_method, Bench.ten_methods, Bench.all_classes, Bench.optimised, Bench.latency]


def main(
    models: Sequence[str] = ("resnet50", "densenet121", "vit_b_16"),
    *,
    batch: int = 8,
    repeats: int = 7,
    device: str = "cpu",
    quick: bool = False,
    memory: bool = True,
    sections: Sequence[str] = (),
    json_file: Path | None = None,
    markdown: bool = False,
) -> None:
    """Measure, and print the table.

    Args:
        models: of resnet50, densenet121, vit_b_16.
        batch: images per call.
        repeats: rounds that are counted; one more warms up.
        device: cpu or cuda.
        quick: batch 2 and one round: shows that it runs, not how fast.
        memory: measure peak memory too.
        sections: one_method, ten_methods, all_classes, optimised, latency; all if left out.
        json_file: also write the rows there.
        markdown: print a table for the site.
    """
    batch, repeats = (2, 1) if quick else (batch, repeats)
    where = torch.device(device)
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=180)
    warnings.filterwarnings("ignore", category=camscope.CamscopeWarning)
    rows: list[Row] = []
    machine = describe(where, batch, repeats)
    for name in models:
        bench = Bench(subject(name, batch, where), where, repeats, memory)
        for section in SECTIONS:
            if sections and section.__name__ not in sections:
                continue
            start = time.perf_counter()
            try:
                rows += section(bench)
            except (ImportError, camscope.CamscopeError) as error:
                progress.print(f"[yellow]{name}, {section.__name__}: skipped: {error}")
            progress.print(
                f"{name}, {section.__name__}: {time.perf_counter() - start:.0f} s", highlight=False
            )
            if (
                json_file is not None
            ):  # after each section, so that a run that is stopped has not measured in vain
                found = {"machine": machine, "rows": [dataclasses.asdict(row) for row in rows]}
                json_file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if markdown:
        console.print(as_markdown(rows, machine), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(as_table(rows, machine))


@functools.cache
def _demo_agreement() -> dict[bool | str, str]:
    """The same for a network with real weights and real photos: the demo model, at its last layer."""
    from skimage import data

    photos = [data.chelsea(), data.coffee(), data.camera(), data.astronaut(), data.rocket()]
    plain = camscope.explain("demo", photos)
    return {
        option: f"; demo model, {len(photos)} photos: "
        + _agreement(plain, camscope.explain("demo", photos, optimised=option))
        for option in (True, "bfloat16")
    }


def _agreement(plain: camscope.Explanation, other: camscope.Explanation) -> str:
    """How far the scaled maps of another explainer are from the plain one's, in words."""
    a, b = (_scaled(e.maps().float()) for e in (plain, other))
    correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
    return f"maps differ by ≤ {float((a - b).abs().max()):.0e}, correlate {float(correlation):.5f}"


def _scaled(maps: torch.Tensor) -> torch.Tensor:
    flat = maps.flatten(2)  # signed: with random weights a map may have no positive part
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    return (flat - low) / (high - low).clamp(min=1e-30)


def describe(device: torch.device, batch: int, repeats: int) -> str:
    """The machine and the versions, in one line."""
    names = ("torch", "torchvision", "camscope", "grad-cam", "torchcam", "captum")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    threads = "one thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    return (
        f"{where}, {threads}; batch {batch}, 224², float32, random weights; medians of {repeats}; {versions}"
    )


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _cells(row: Row) -> tuple[str, ...]:
    aim = "" if row.aim is None else f"≤ {row.aim:g}{'' if row.ratio <= row.aim else '  missed'}"
    return (
        row.who,
        f"{row.ratio:,.2f} {row.unit}" if row.ratio < 100 else f"{row.ratio:,.0f} {row.unit}",
        aim,
        f"{row.seconds * 1000:,.0f} ms",
        "" if row.extra is None else f"{row.extra / 2**20:,.0f} MiB",
        "" if row.memory is None else f"{row.memory:.2f}",
        row.note,
    )


HEADERS = ("", "time", "aim", "median", "extra memory at peak", "peak memory, × forward's", "")


def as_table(rows: Sequence[Row], machine: str) -> Table:
    table = Table(*HEADERS, title=machine, title_justify="left")
    for title, some in _grouped(rows):
        table.add_section()
        table.add_row(f"[bold]{title}")
        for row in some:
            table.add_row(*_cells(row))
    return table


def as_markdown(rows: Sequence[Row], machine: str) -> str:
    lines = [f"Measured on {machine}."]
    for title, some in _grouped(rows):
        lines += ["", f"**{title}**", "", f"| {' | '.join(HEADERS)} |", "|---|---:|---|---:|---:|---:|---|"]
        lines += [f"| {' | '.join(_cells(row))} |" for row in some]
    return "\n".join(lines)


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    titles = dict.fromkeys((row.model, row.section) for row in rows)
    for model, section in titles:
        yield f"{model}: {section}", [row for row in rows if (row.model, row.section) == (model, section)]


if __name__ == "__main__":
    cyclopts.run(main)
