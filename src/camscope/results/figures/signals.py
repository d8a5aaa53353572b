"""Figures of signals: which rows stand where. `camscope.render` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from camscope import render
from camscope.arrays import Scale
from camscope.errors import InputError
from camscope.render import SignalRow, Strip
from camscope.results.figures.labels import (
    agreement,
    beside_title,
    caption_of,
    colours_of,
    image_name,
    keys_of,
    numbers_of,
    targets_shown,
)
from camscope.results.figures.registry import figure_kind
from camscope.results.map_data import Key
from camscope.results.maps import Maps
from camscope.signals import Signal, spectrogram_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Show = Literal["lines", "spectrogram", "both"]
_SHOWN: dict[str, tuple[bool, bool]] = {
    "lines": (True, False),
    "spectrogram": (False, True),
    "both": (True, True),
}
"""Whether lines and a spectrogram are drawn, by the words of `show`."""

_MOST_CHANNELS = 12
MOST_ROWS = 12
"""The most rows in a figure of signals, as long as the user does not say which it shows."""
_LONG = 4000
"""A signal of one channel with so many steps that nobody sees a wave in its line has a spectrogram too."""


def usual_kind(e: Maps) -> str:
    """What a figure is arranged by if the user does not say: it has a row for every map."""
    return "signals"


@figure_kind("signals", of="signal")
def signal_figure(
    e: Maps,
    image: int = 0,
    *,
    method: str | None = None,
    layer: str | None = None,
    target: int | None = None,
    scale: Scale = "map",
    order: int = 1,
    rate: float | None = None,
    channels: Sequence[int] | None = None,
    show: Show | None = None,
    opacity: float | None = None,
    **style: Any,
) -> Figure:
    """One signal on the colours of its evidence along time, a row for each target, method and layer.

    Args:
        e: the explanation.
        image: the number of the signal in the batch.
        method: show only this method; None shows all.
        layer: show only this layer; None shows all.
        target: show only the target with this number; None shows all. Of more rows than are legible the first ones are
            shown, and the caption says so.
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        rate: steps per second, for an axis in seconds; None takes the signal's own, where that is known.
        channels: the numbers of the channels that are drawn; None draws all, or the first ones of more than are
            legible.
        show: `lines`, `spectrogram` or `both`; None shows both for a sound, else lines. A map over time and frequency
            always lies on the spectrogram that the model is given.
        opacity: has no effect on signals; it is here so that figures of photos and of signals take the same options.
        style: options of `camscope.render.signal_figure`: colormap, width, height, title, ax …

    Raises:
        InputError: if the input is no signal, or an option or a name is not valid.
    """
    keys = keys_of(e, method, layer)
    targets = targets_shown(e, target)
    wanted = [(t, key) for t in targets for key in keys]
    shown = wanted if "ax" in style else wanted[:MOST_ROWS]
    drawn = _Drawn.of(e.signal(image), rate, channels, show)
    heat = {key: e.photo_heatmaps(image, *key, scale=scale, order=order) for _, key in shown}
    rows = [
        drawn.row(
            heat[key][t],
            title=e.titles[image][t],
            subtitle=beside_title(e, image, t, key, keys),
            note=e.status[key][image][t].words,
        )
        for t, key in shown
    ]
    more = [*drawn.said, *e.signal(image).notes]
    if len(shown) < len(wanted):
        more.append(f"the first {len(shown)} of {len(wanted)} rows: target=N, method= and layer= show others")
    return render.signal_figure(rows, **_style(e, keys, scale, more, style))


@figure_kind("targets", of="signal")
def signal_by_target(
    e: Maps, image: int = 0, *, method: str | None = None, layer: str | None = None, **options: Any
) -> Figure:
    """A row for each target, of one method at one layer.

    Args:
        e: the explanation.
        image: the number of the signal in the batch.
        method: may be left out if there is one.
        layer: may be left out if there is one.
        options: options of `signal_figure`.
    """
    method, layer = e.key(method, layer)
    return signal_figure(e, image, method=method, layer=layer, **options)


@figure_kind("methods", of="signal")
def signal_by_method(e: Maps, image: int = 0, *, target: int | None = None, **options: Any) -> Figure:
    """A row for each method and layer, of one target or of all.

    Args:
        e: the explanation.
        image: the number of the signal in the batch.
        target: show only the target with this number; None shows all.
        options: options of `signal_figure`.
    """
    return signal_figure(e, image, target=target, **options)


def signal_gallery(
    e: Maps,
    *,
    images: Sequence[int] | None = None,
    target: int | None = None,
    method: str | None = None,
    layer: str | None = None,
    scale: Scale = "map",
    order: int = 1,
    rate: float | None = None,
    channels: Sequence[int] | None = None,
    show: Show | None = None,
    **style: Any,
) -> Figure:
    """All signals of a batch: a row for each, or for each of its targets.

    Args:
        e: the explanation.
        images: the numbers of the signals that are shown; None shows all, or the first ones of more than are legible,
            and the caption says so.
        target: show only the target with this number; None shows all.
        method: may be left out if there is one.
        layer: may be left out if there is one.
        scale: see `camscope.arrays.normalise.Scale`; with `batch` the signals can be compared.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        rate: see `signal_figure`.
        channels: see `signal_figure`.
        show: see `signal_figure`; by default only lines, or the spectrogram that the model is given.
        style: options of `camscope.render.signal_figure`.

    Raises:
        InputError: if the inputs are no signals, there is no such target, or a name is not among those explained.
        IndexError: if there is no such signal.
    """
    key = e.key(method, layer)
    targets = targets_shown(e, target)
    most = max(1, 2 * MOST_ROWS // len(targets))
    shown = [e.number(i) for i in images] if images is not None else range(len(e))[:most]
    said: list[str] = []
    rows = []
    for image in shown:
        drawn = _Drawn.of(e.signal(image), rate, channels, show or "lines")
        said += drawn.said
        heat = e.photo_heatmaps(image, *key, scale=scale, order=order)
        rows += [
            drawn.row(
                heat[t],
                title=f"{image_name(e, image)} · {e.titles[image][t]}",
                subtitle=numbers_of(e, image, t),
                note=e.status[key][image][t].words,
            )
            for t in targets
        ]
    if images is None and len(shown) < len(e):
        said.append(f"the first {len(shown)} of {len(e)} signals: images=[…] shows others")
    return render.signal_figure(rows, **_style(e, [key], scale, list(dict.fromkeys(said)), style))


def compared_signals(
    every: Sequence[Maps],
    keys: Sequence[Key],
    images: Sequence[int],
    *,
    target: int,
    heads: Sequence[str],
    said: Sequence[str],
    scale: Scale = "map",
    order: int = 1,
    rate: float | None = None,
    channels: Sequence[int] | None = None,
    show: Show | None = None,
    **style: Any,
) -> Figure:
    """The same signals in several explanations: a row for each signal and explanation.

    Args:
        every: the explanations.
        keys: the map of each that is shown.
        images: the numbers of the signals that are shown.
        target: the number of the target.
        heads: what each explanation is called.
        said: what the caption says.
        scale: see `signal_figure`.
        order: see `signal_figure`.
        rate: see `signal_figure`.
        channels: see `signal_figure`.
        show: see `signal_figure`; by default as in a gallery.
        style: options of `camscope.render.signal_figure`.

    Raises:
        InputError: if the explanations are not of the same signals.
    """
    rows, more = [], [*said]
    for image in images:
        heat = [
            e.photo_heatmaps(image, *key, scale=scale, order=order)
            for e, key in zip(every, keys, strict=True)
        ]
        for number, (e, key, head) in enumerate(zip(every, keys, heads, strict=True)):
            if heat[number][target].shape != heat[0][target].shape:
                raise InputError(
                    f"Signal {image} has the shape {heat[0][target].shape} in the first explanation and "
                    f"{heat[number][target].shape} in number {number}: they are not of the same signals."
                )
            drawn = _Drawn.of(e.signal(image), rate, channels, show or "lines")
            more += drawn.said
            r = agreement(heat[number][target], heat[0][target]) if number else ""
            name = image_name(e, image) if len(images) > 1 else ""
            rows.append(
                drawn.row(
                    heat[number][target],
                    title=" · ".join(filter(None, [name, head, e.titles[image][target]])),
                    subtitle=" · ".join(filter(None, [numbers_of(e, image, target), r])),
                    note=e.status[key][image][target].words,
                )
            )
    caption = " · ".join(dict.fromkeys(more))
    return render.signal_figure(
        rows, **{"caption": caption, **colours_of(scale, signed=scale == "signed"), **style}
    )


def signal_overlay(
    e: Maps,
    image: int,
    target: int,
    method: str,
    layer: str,
    *,
    colormap: str = render.DEFAULT,
    scale: Scale = "map",
    order: int = 1,
    channels: Sequence[int] | None = None,
    show: Show | None = None,
    width: int = 1200,
    height: int = 0,
    opacity: float | None = None,
) -> Image.Image:
    """One signal on the colours of its evidence, without any text.

    Args:
        e: the explanation.
        image: the number of the signal in the batch.
        target: the number of the target.
        method: one of `e.methods`.
        layer: one of `e.layers`.
        colormap: any name of the cmap catalogue; the default is pale at zero.
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        channels: see `signal_figure`.
        show: see `signal_figure`.
        width: of the picture, in pixels.
        height: likewise; 0 takes what is usual for what is drawn.
        opacity: has no effect on signals; see `signal_figure`.

    Raises:
        InputError: if the input is no signal, or an option or a name is not valid.
    """
    drawn = _Drawn.of(e.signal(image), None, channels, show)
    heat = e.photo_heatmaps(image, method, layer, scale=scale, order=order)[target]
    return render.signal_picture(
        drawn.row(heat), colormap=colormap, signed=scale == "signed", width=width, height=height
    )


def signal_row(e: Maps, image: int, target: int, key: Key) -> SignalRow:
    """One signal on the colours of one map, as it is drawn where nothing is said; a title is for who draws it.

    Args:
        e: the explanation.
        image: the number of the signal in the batch.
        target: the number of the target.
        key: the method and the layer.

    Raises:
        InputError: if the input is no signal.
    """
    heat = e.photo_heatmaps(image, *key)[target]
    return _Drawn.of(e.signal(image), None, None, None).row(heat, note=e.status[key][image][target].words)


def first_figure(e: Maps) -> Figure:
    """The figure of the first signal, which a notebook shows."""
    return signal_figure(e)


class _Drawn:
    """One signal as it is drawn: its channels, its spectrogram, its axis of time.

    Args:
        signal: the signal.
        rate: steps per second of the axis; None if it has none.
        channels: the numbers of the channels that are drawn.
        hint: how others are drawn, if the user did not choose these.
        lines: whether lines are drawn.
        strip: the spectrogram; None draws none.
    """

    def __init__(
        self,
        signal: Signal,
        rate: float | None,
        channels: Sequence[int],
        hint: str,
        *,
        lines: bool,
        strip: bool,
    ) -> None:
        self._signal, self._channels, self._lines = signal, list(channels), lines
        drawn = signal.spectrogram
        if strip and drawn is None:
            drawn = spectrogram_of(signal.values[self._channels[0]], rate, signal.highest)
        self._strip = None if drawn is None else Strip(drawn.levels, drawn.low, drawn.high, drawn.unit)
        steps = signal.geometry.photo_size[0]
        self._span = (signal.start, signal.start + steps / rate) if rate else (0.0, float(steps))
        self._unit = "s" if rate else "step" if signal.spectrogram else "sample"
        self.said: list[str] = []
        total = len(signal.values)
        if lines and len(self._channels) < total:
            numbers = ", ".join(map(str, self._channels))
            several = "s" if len(self._channels) > 1 else ""
            self.said.append(f"channel{several} {numbers} of {total}{hint}")
        if lines and len(self._channels) > 1:
            self.said.append("each channel at its own height")

    @classmethod
    def of(
        cls, signal: Signal, rate: float | None, channels: Sequence[int] | None, show: Show | None
    ) -> _Drawn:
        """Choose what is drawn.

        Raises:
            InputError: if an option is not valid, or a spectrogram is wanted of a signal that has none.
        """
        if show is not None and show not in _SHOWN:
            raise InputError(f"show={show!r}: expected lines, spectrogram or both.")
        if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < np.inf):
            raise InputError(f"rate={rate!r}: expected samples per second, such as 500.")
        count = len(signal.values)
        if channels is not None and (not len(channels) or not all(0 <= c < count for c in channels)):
            raise InputError(f"channels={list(channels)}: the signal has {count}, 0 to {count - 1}.")
        both = signal.sound and signal.values.shape[-1] > _LONG
        lines, strip = _SHOWN[show or ("both" if both else "lines")]
        if strip and signal.spectrogram is None and count > 1 and (channels is None or len(channels) > 1):
            raise InputError(
                f"show={show!r}: a spectrogram is of one channel, and the signal has {count}: channels=[0]."
            )
        taken = range(min(count, _MOST_CHANNELS)) if channels is None else channels
        hint = ": channels=[…] shows others" if channels is None else ""
        return cls(signal, signal.rate if rate is None else rate, taken, hint, lines=lines, strip=strip)

    def row(
        self, heatmap: Float[np.ndarray, " ..."], title: str = "", subtitle: str = "", note: str = ""
    ) -> SignalRow:
        """The row of one map.

        Args:
            heatmap: on the signal, over time, or over time and frequency.
            title: see `SignalRow`.
            subtitle: see `SignalRow`.
            note: see `SignalRow`.
        """
        lines = self._lines or self._strip is None
        return SignalRow(
            lines=self._signal.values[self._channels] if lines else self._signal.values[:0],
            heatmap=heatmap.T,
            strip=self._strip,
            start=self._span[0],
            stop=self._span[1],
            unit=self._unit,
            names=[str(c) for c in self._channels] if len(self._channels) > 1 else (),
            title=title,
            subtitle=subtitle,
            note=note,
        )


def _style(
    e: Maps, keys: Sequence[Key], scale: Scale, more: Sequence[str], style: dict[str, Any]
) -> dict[str, Any]:
    """The options of `render.signal_figure`: the user's, and those that follow from what is shown."""
    methods, layers = ([*dict.fromkeys(names)] for names in zip(*keys, strict=True))
    caption = caption_of(e, methods[:1] * (len(methods) == 1), layers[:1] * (len(layers) == 1), more)
    return {"caption": caption, **colours_of(scale, signed=scale == "signed"), **style}
