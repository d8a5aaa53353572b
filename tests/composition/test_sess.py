"""`sess(…)`: every step of the paper written out in loops, and what it is for, on pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope.composition import Sess, parse
from camscope.composition.sliding import Window, softened
from camscope.errors import InputError, MethodError
from tests.conftest import make_tiny_cnn
from tests.torch.nets import Net, batch, mlp_head


def by_loops(
    model: nn.Module, x: torch.Tensor, target: int, *, method: str, scales: int, drop: float = 0.0
) -> np.ndarray:
    """The paper, one image: scaling, sliding, pre-filtering, maps, calibration, weights, mean above zero, blur."""
    height, width = x.shape[2:]
    windows = []
    for i in range(scales):
        tall, wide = round(height * (1 + i * 64 / 224)), round(width * (1 + i * 64 / 224))
        large = x if i == 0 else functional.interpolate(x, (tall, wide), mode="bilinear", align_corners=False)
        for row in range(math.ceil(tall / height)):
            for column in range(math.ceil(wide / width)):
                top, left = min(row * height, tall - height), min(column * width, wide - width)
                windows.append((large[:, :, top : top + height, left : left + width], top, left, tall, wide))
    scores = np.array([model(window).softmax(1)[0, target].item() for window, *_ in windows])
    kept = np.argsort(scores)[int(len(windows) * drop) :]
    maps = []
    for number in kept:
        window, top, left, tall, wide = windows[number]
        raw = camscope.explain(model, window, methods=method, targets=target).maps().relu()
        heat = functional.interpolate(raw, (height, width), mode="bilinear", align_corners=False)[0, 0]
        spread = heat.max() - heat.min()
        heat = (heat - heat.min()) / spread if spread > 1e-6 * heat.max() else torch.zeros_like(heat)
        canvas = torch.zeros(1, 1, tall, wide)
        canvas[0, 0, top : top + height, left : left + width] = heat * scores[number] / scores.max()
        maps.append(
            functional.interpolate(canvas, (height, width), mode="bilinear", align_corners=False)[
                0, 0
            ].numpy()
        )
    maps = np.array(maps)
    count = (maps > 1e-6).sum(0)
    fused = np.divide(maps.sum(0), count, out=np.zeros_like(maps[0]), where=count > 0)
    sigmas = [5 / 224 * n for n in (height, width)]
    kernels = [np.exp(-(np.arange(-round(s), round(s) + 1) ** 2) / (2 * s**2)) for s in sigmas]
    kernel = torch.tensor(np.outer(*(k / k.sum() for k in kernels)), dtype=torch.float32)[None, None]
    pad = (kernel.shape[3] // 2,) * 2 + (kernel.shape[2] // 2,) * 2
    return functional.conv2d(functional.pad(torch.tensor(fused)[None, None], pad, mode="reflect"), kernel)[
        0, 0
    ].numpy()


@pytest.mark.parametrize(
    ("method", "scales", "drop", "size"),
    [
        ("gradcam", 1, 0.0, (48, 48)),
        ("gradcam", 5, 0.0, (48, 48)),
        ("layercam", 4, 0.0, (40, 64)),
        ("gradcam", 4, 0.5, (40, 64)),
    ],
)
def test_it_is_the_paper_in_loops(method, scales, drop, size):
    model, x = make_tiny_cnn(), 2 * batch(2, 3, *size)
    found = camscope.explain(
        model, x, methods=f"sess({method}, scales={scales}, drop={drop})", targets=[1, 3]
    ).maps()
    for image in range(2):
        for place, target in enumerate((1, 3)):
            expected = by_loops(model, x[image : image + 1], target, method=method, scales=scales, drop=drop)
            np.testing.assert_allclose(found[image, place], expected, rtol=0, atol=2e-4)


def test_twelve_scales_are_122_windows_that_cover_every_size():
    windows = Sess("gradcam").windows()
    assert len(windows) == 122
    assert [sum(w.factor == factor for w in windows) for factor in sorted({w.factor for w in windows})] == [
        1, 4, 4, 4, 9, 9, 9, 9, 16, 16, 16, 25
    ]  # fmt: skip
    for factor in sorted({w.factor for w in windows}):
        seen = sum(w.placed(torch.ones(1, 1, 28, 42)) for w in windows if w.factor == factor)
        assert float(seen.min()) >= 1 - 1e-5  # every place is seen, by two where the last window overlaps
    assert windows[0].of(batch(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_a_window_is_put_back_where_it_was_cut_out():
    """A spot that a window shows is, put back, at the spot's own place."""
    x = torch.zeros(1, 1, 56, 56)
    x[0, 0, 40:44, 12:16] = 1
    whole = (
        (x[0, 0] * torch.arange(56)[:, None]).sum() / x.sum(),
        (x[0, 0] * torch.arange(56)).sum() / x.sum(),
    )
    window = Window(2.0, 1, 0)
    back = window.placed(window.of(x))[0, 0]
    place = (
        (back * torch.arange(56)[:, None]).sum() / back.sum(),
        (back * torch.arange(56)).sum() / back.sum(),
    )
    assert [*map(float, place)] == pytest.approx([*map(float, whole)], abs=0.05)
    assert not Window(2.0, 0, 1).of(x).any()


def test_the_blur_keeps_what_is_even_and_the_sum_inside():
    even = torch.full((1, 2, 30, 50), 0.7)
    torch.testing.assert_close(softened(even), even)
    spot = torch.zeros(1, 1, 224, 224)
    spot[0, 0, 100, 120] = 1
    found = softened(spot)
    assert float(found.sum()) == pytest.approx(1)
    assert int((found > 0).sum()) == 121  # 11 × 11


def test_two_small_objects_are_both_found():
    """A detector of bright spots, pooled by its maximum, tells of one of two; its windows tell of both."""

    class Spots(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Conv2d(3, 1, 5, stride=2, padding=2, bias=False)
            nn.init.constant_(self.look.weight, 1 / 75)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            best = self.look(x).relu().flatten(1).max(1).values
            return torch.stack([20 * best, 5 * torch.ones_like(best)], 1)

    x = torch.zeros(1, 3, 56, 56)
    x[..., 8:14, 8:14] = 1.0
    x[..., 40:46, 40:46] = 0.95
    e = camscope.explain(
        Spots().eval(), x, methods=["layercam", "sess(layercam, scales=5)"], targets=0, layers="look"
    )

    def second(method: str) -> float:
        heat = e.heatmaps(method)[0, 0]
        return float(heat[38:48, 38:48].max())

    assert second("layercam") < 0.05
    assert second("sess(layercam, scales=5)") > 0.3
    assert float(e.heatmaps("sess(layercam, scales=5)")[0, 0, 24:32, 24:32].max()) < 0.1


def test_with_other_compositions_and_several_layers_at_once():
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    names = ["sess(gradcam, scales=2)", "sess(finer(layercam), scales=2)", "gradcam"]
    e = camscope.explain(model, x, methods=names, layers=["stem", "body"], targets=[0, 2])
    assert e.maps(names[0], "stem").shape == (2, 2, 16, 16)
    assert float(e.maps(names[1], "body").min()) >= 0
    alone = camscope.explain(model, x[1:], methods=names[0], layers="body", targets=[0, 2])
    torch.testing.assert_close(e.maps(names[0], "body")[1:], alone.maps(), rtol=1e-4, atol=1e-5)


def test_as_text():
    assert (
        parse("sess(gradcam, scales=3, drop=0.9)")
        == Sess("gradcam", scales=3, drop=0.9)
        == camscope.Sess("gradcam", 3, 0.9)
    )
    assert Sess("gradcam").name == "sess(gradcam)"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("sess(eigencam)", "knows no class"),
        ("sess(gradcam, drop=1)", "leaves no window"),
        ("sess(gradcam, scales=0)", "scales=0"),
        ("sess(gradcam, drop=1.5)", "drop=1.5"),
        ("sess(gradcam, scale=3)", "Did you mean 'scales'"),
    ],
)
def test_what_makes_no_sense_is_refused(method, says):
    with pytest.raises(MethodError, match=says):
        camscope.explain(make_tiny_cnn(), batch(1, 3, 32, 32), methods=method)


def test_it_slides_over_pictures_only():
    model = Net(mlp_head(8), dims=1).eval()
    with pytest.raises(InputError, match="slides windows over pictures"):
        camscope.explain(model, batch(1, 3, 32), methods="sess(gradcam, scales=2)")
