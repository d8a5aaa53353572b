import subprocess
import sys
from io import BytesIO
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from camscope.errors import InputError
from camscope.render import DEFAULT, DIVERGING, Panel, figure, grid_of, png, save
from camscope.render.colour import colours, lut

LONG = "Egyptian cat, a very long synonym list that goes on, and on, and on, and then some more of the same"
WORD = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 2


def photo(width=60, height=40, colour=(255, 0, 0)):
    return np.full((height, width, 3), colour, np.uint8)


def ramp(width=60, height=40):
    return np.linspace(0, 1, width * height, dtype=np.float32).reshape(height, width)


def panel(title="cat", width=60, height=40, **more):
    return Panel(photo(width, height), ramp(width, height), title, **more)


def pictures(drawn):
    return [axes for axes in drawn.axes if axes.get_label() != "colorbar"]


def bars(drawn):
    return [axes for axes in drawn.axes if axes.get_label() == "colorbar"]


def assert_tidy(drawn):
    """All lies in the figure, nothing overlaps, and notes lie in their photos."""
    renderer = drawn.canvas.get_renderer()
    page = drawn.bbox
    texts = [(text.get_text(), text.get_window_extent(renderer)) for text in drawn.texts]
    notes = [text.get_window_extent(renderer) for axes in drawn.axes for text in axes.texts]
    frames = [axes.get_window_extent(renderer) for axes in drawn.axes]
    for what, box in [*texts, *(("note", box) for box in notes), *(("axes", box) for box in frames)]:
        assert box.x0 >= page.x0, what
        assert box.y0 >= page.y0, what
        assert box.x1 <= page.x1, what
        assert box.y1 <= page.y1, what
    for (one, box), (other, other_box) in combinations(texts, 2):
        assert not crosses(box, other_box), (one, other)
    for one, box in texts:
        assert not any(crosses(box, frame) for frame in frames), one
    for one, other in combinations(frames, 2):
        assert not crosses(one, other)
    for axes in drawn.axes:
        for text in axes.texts:
            text.update_bbox_position_size(renderer)
            note, frame = text.get_bbox_patch().get_window_extent(renderer), axes.get_window_extent(renderer)
            assert frame.x0 <= note.x0 < note.x1 <= frame.x1
            assert frame.y0 <= note.y0 < note.y1 <= frame.y1


def crosses(one, other):
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > 0.5 and height > 0.5  # half a pixel is rounding


NOTE = "all-negative: no evidence for this class"
FIGURES = {
    "one": lambda: figure([[panel()]], title=LONG, caption=LONG * 3),
    "top 3": lambda: figure(
        [[Panel(photo(), None, "Photo"), *(panel(name, subtitle="0.43") for name in ("cat", LONG, WORD))]],
        caption="model · layer · method",
    ),
    "methods and layers": lambda: figure(
        [[panel("") for _ in range(3)] for _ in range(5)],
        row_labels=["Grad-CAM", LONG, WORD, "a", "b"],
        column_labels=["layer2", LONG, WORD],
        title=WORD,
        caption=LONG,
        panel_inches=1.2,
    ),
    "19 classes": lambda: figure(grid_of([panel(LONG[: 5 * n], subtitle=LONG[:n]) for n in range(19)])),
    "60 panels": lambda: figure([[panel(LONG, subtitle=LONG)] * 6] * 10, panel_inches=0.8, title="many"),
    "portrait": lambda: figure(
        [[panel(LONG, 20, 100, subtitle=LONG, note=NOTE)] * 3], row_labels=["Grad-CAM"]
    ),
    "very tall": lambda: figure([[panel(LONG, 4, 400, subtitle="0.4")] * 3], title=LONG),
    "wide": lambda: figure([[panel(LONG, 400, 40, subtitle="0.4", note=NOTE)]], caption=LONG),
    "very wide": lambda: figure(
        [[panel(LONG, 800, 8, note=NOTE)], [panel(width=800, height=8)]], caption="c"
    ),
    "mixed": lambda: figure(
        [[panel(LONG, 20, 90), panel("b", 90, 20, subtitle="x")], [panel("c", 50, 50)]], column_labels="ab"
    ),
    "signed": lambda: figure([[panel()]], signed=True, low="against", high="for", colorbar_label=LONG),
    "signed and flat": lambda: figure([[panel(width=300, height=10)]], signed=True),
    "notes": lambda: figure([[panel(note=NOTE), panel(note=LONG * 3), panel(note=WORD)]], panel_inches=1.5),
    "tiny": lambda: figure([[panel(LONG, subtitle=LONG, note=LONG)] * 2], panel_inches=0.5, caption=LONG),
    "huge": lambda: figure([[panel(LONG, subtitle="0.5", note=LONG)]], panel_inches=9, title=LONG),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("dpi", [100, 300])
def test_nothing_overlaps_and_nothing_is_cut_off(name, dpi):
    drawn = FIGURES[name]()
    drawn.set_dpi(dpi)
    assert_tidy(drawn)


@pytest.mark.parametrize("name", FIGURES)
def test_photos_keep_their_aspect(name):
    drawn = FIGURES[name]()
    for axes in pictures(drawn):
        left, right, bottom, top = axes.images[0].get_extent()
        shown = axes.get_window_extent()
        assert shown.width / shown.height == pytest.approx((right - left) / (bottom - top), rel=1e-6)


def test_titles_of_a_row_are_level_whatever_their_letters():
    drawn = figure([[panel("gypsy"), panel("fist"), panel("ooo"), panel("Éa", subtitle="0.1")]])
    heights = {
        text.get_position()[1] for text in drawn.texts if text.get_text() in {"gypsy", "fist", "ooo", "Éa"}
    }
    assert len(heights) == 1


def test_a_dollar_in_a_class_name_is_a_dollar():
    text = figure([[panel("a $x_1$ b")]]).texts[0]
    plain = figure([[panel("a §x_1§ b")]]).texts[0]
    widths = [each.get_window_extent().width for each in (text, plain)]
    assert widths[0] == pytest.approx(widths[1], rel=0.1)
    png(figure([[panel(r"$\frac$")]]))  # as mathematics this could not be drawn


def test_shown_colours_are_those_of_the_overlay_in_rgb():
    heatmap = np.zeros((40, 60), np.float32)
    drawn = figure(
        [[Panel(photo(), heatmap, ""), Panel(photo(colour=(0, 0, 255)), None, "")]], colormap="jet"
    )
    over, bare = (axes.images[0].get_array() for axes in pictures(drawn))
    assert np.abs(over[5, 5].astype(int) - (128, 0, 64)).max() <= 1  # half red photo, half jet's dark blue
    assert tuple(bare[5, 5]) == (0, 0, 255)


def test_the_picture_in_the_file_has_the_right_colours_too():
    drawn = figure([[Panel(photo(colour=(10, 200, 30)), None, "")]])
    page = np.asarray(Image.open(BytesIO(png(drawn, dpi=100))).convert("RGB"))
    assert tuple(page[page.shape[0] // 2, page.shape[1] // 2]) == (10, 200, 30)
    assert tuple(page[1, 1]) == (255, 255, 255)


def test_what_was_not_seen_stays_so_when_a_large_photo_is_shrunk():
    heatmap = np.full((1200, 2400), np.nan, np.float32)
    heatmap[:, 600:1800] = 1
    (axes,) = pictures(figure([[Panel(photo(2400, 1200), heatmap, "")]], opacity=1, panel_inches=1))
    shown = axes.images[0].get_array()
    height, width, _ = shown.shape
    assert max(width, height) <= 2 * 300
    assert width / height == pytest.approx(2, abs=0.02)
    middle = shown[height // 2].astype(int)
    assert (middle[width // 4 + 3 : 3 * width // 4 - 3] == lut(DEFAULT)[255]).all()
    assert np.ptp(middle[: width // 4 - 3], axis=1).max() == 0


def test_a_small_photo_is_kept_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    heatmap = ramp(31, 24)
    over, bare = pictures(
        figure([[Panel(image, heatmap, ""), Panel(Image.fromarray(image), None, "")]], opacity=1)
    )
    np.testing.assert_array_equal(over.images[0].get_array(), colours(heatmap, DEFAULT))
    np.testing.assert_array_equal(bare.images[0].get_array(), image)


class TestColourBar:
    def test_there_is_one_for_the_whole_figure_and_none_without_heatmaps(self):
        assert len(bars(figure([[panel()] * 3] * 2))) == 1
        assert not bars(figure([[Panel(photo(), None, "Photo")]]))

    @pytest.mark.parametrize(("signed", "name"), [(False, DEFAULT), (True, DIVERGING)])
    def test_it_runs_from_low_at_the_bottom_to_high_at_the_top(self, signed, name):
        drawn = figure([[panel()]], signed=signed)
        page = np.asarray(Image.open(BytesIO(png(drawn, dpi=200))).convert("RGB")).astype(int)
        box = bars(drawn)[0].get_position()
        x = round((box.x0 + box.x1) / 2 * page.shape[1])
        top, bottom = round((1 - box.y1) * page.shape[0]), round((1 - box.y0) * page.shape[0])
        column = page[top + 3 : bottom - 3, x]
        expected = lut(name)[::-1][np.linspace(0, 255, len(column)).round().astype(int)]
        assert np.abs(column - expected).max() <= 14

    def test_its_texts(self):
        def texts(**options):
            return [text.get_text() for text in figure([[panel("")]], **options).texts]

        assert texts() == ["1", "0", "evidence (relative)"]
        assert texts(signed=True) == ["1", "0", "−1", "evidence (relative)"]
        assert texts(low="0.1", high="2.5", colorbar_label="") == ["2.5", "0.1"]


def test_boxes_are_drawn_where_they_are_in_the_photo():
    drawn = figure([[panel(width=600, height=400, boxes=[(150, 100, 450, 300), (0, 0, 600, 400)])]])
    first, second = pictures(drawn)[0].patches
    assert first.get_bbox().bounds == (150, 100, 300, 200)
    assert second.get_bbox().bounds == (0, 0, 600, 400)
    left, right = pictures(drawn)[0].get_xlim()
    bottom, top = pictures(drawn)[0].get_ylim()
    assert (left, right, bottom, top) == (0, 600, 400, 0)


def test_a_note_is_written_in_its_photo_or_under_one_too_low_for_it():
    high, low = panel(note=NOTE), panel(width=900, height=9, note=NOTE)
    assert " ".join(pictures(figure([[high]]))[0].texts[0].get_text().split()) == NOTE
    drawn = figure([[low]])
    assert not pictures(drawn)[0].texts
    assert NOTE in [text.get_text() for text in drawn.texts]


def test_a_ragged_last_row_and_every_row_in_order():
    drawn = figure([[panel("a"), panel("b")], [panel("c")]])
    boxes = [axes.get_position() for axes in pictures(drawn)]
    assert boxes[0].x0 < boxes[1].x0
    assert boxes[2].x0 == pytest.approx(boxes[0].x0)
    assert boxes[2].y1 < boxes[0].y0


class TestErrors:
    @pytest.mark.parametrize("empty", [[], [[]], [[panel()], []]])
    def test_no_panels(self, empty):
        with pytest.raises(InputError, match="at least one panel in every row"):
            figure(empty)

    def test_wrong_number_of_labels(self):
        with pytest.raises(InputError, match="row_labels must be empty or one per row: got 2 for 1 rows"):
            figure([[panel()]], row_labels=["a", "b"])
        with pytest.raises(InputError, match=r"column_labels .* got 1 for 2 columns"):
            figure([[panel()], [panel(), panel()]], column_labels=["a"])

    @pytest.mark.parametrize("box", [(0, 0, 10, 41), (-1, 0, 5, 5), (5, 5, 9, 5), (0, 0, 61, 40)])
    def test_a_box_outside_the_photo(self, box):
        with pytest.raises(InputError, match=r"\(x0, y0, x1, y1\).*40 high and 60 wide"):
            figure([[panel(boxes=[box])]])

    def test_a_heatmap_of_another_size(self):
        with pytest.raises(InputError, match=r"\(60, 40\).*40 high and 60 wide"):
            figure([[Panel(photo(), ramp(40, 60), "")]])

    def test_a_panel_too_small_to_read(self):
        with pytest.raises(InputError, match=r"at least 0\.5"):
            figure([[panel()]], panel_inches=0.1)


class TestFiles:
    def test_the_same_figure_gives_the_same_bytes(self, tmp_path):
        for suffix in ("png", "pdf", "svg"):
            paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
            for path in paths:
                save(figure([[panel(LONG, note=NOTE, boxes=[(1, 1, 9, 9)])]]), path)
            assert paths[0].read_bytes() == paths[1].read_bytes()
            assert b"Date" not in paths[0].read_bytes()
        assert png(FIGURES["top 3"]()) == png(FIGURES["top 3"]())

    def test_the_suffix_decides(self, tmp_path):
        for suffix, start in ((".PNG", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
            save(figure([[panel()]]), tmp_path / f"figure{suffix}")
            assert (tmp_path / f"figure{suffix}").read_bytes().startswith(start)

    def test_an_unknown_suffix_lists_the_valid_ones(self, tmp_path):
        for name in ("figure.pgn", "figure"):
            with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
                save(figure([[panel()]]), tmp_path / name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("dpi", [0, -1, float("nan")])
    def test_dpi(self, dpi):
        with pytest.raises(InputError, match="dpi"):
            png(figure([[panel()]]), dpi=dpi)

    def test_dpi_sets_the_size(self):
        drawn = figure([[panel()]])
        sizes = [Image.open(BytesIO(png(drawn, dpi=dpi))).size for dpi in (75, 150, 300)]
        for small, large in pairwise(sizes):
            assert large == pytest.approx([2 * side for side in small], abs=2)

    def test_a_users_tight_box_does_not_change_the_page(self):
        import matplotlib

        expected = png(figure([[panel()]]))
        with matplotlib.rc_context(
            {"savefig.bbox": "tight", "savefig.facecolor": "black", "text.color": "red"}
        ):
            assert png(figure([[panel()]])) == expected


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_pyplot_is_never_imported_and_nothing_heavy_on_import():
    code = """
import sys, camscope.render as r, numpy as np
assert not {"matplotlib", "cmap"} & set(sys.modules)
i, h = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9))
r.with_colorbar(r.overlay(i, h))
assert "matplotlib" not in sys.modules
r.png(r.figure([[r.Panel(i, h, "x", note="n", boxes=[(1, 1, 3, 3)])]]))
assert "matplotlib.pyplot" not in sys.modules
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("cmap", "r.overlay(i, h)"),
        ("matplotlib", "r.figure([[r.Panel(i, None, '')]])"),
        ("matplotlib", "r.figure([[r.Panel(i, h, 'x')]])"),
    ],
)
def test_a_missing_extra_says_what_to_install(missing, call):
    done = run(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import camscope.render as r, numpy as np\n"
        f"i, h = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9))\n{call}"
    )
    assert "MissingExtraError" in done.stderr.splitlines()[-1], done.stderr
    assert "pip install 'camscope[plot]'" in done.stderr
