import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, DIVERGING, colours, lut
from camscope.render.overlay import overlay, with_colorbar


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


@pytest.fixture
def heatmap():
    return np.linspace(0, 1, 1500, dtype=np.float32).reshape(30, 50)


def test_opacity_zero_is_the_photo(photo, heatmap):
    np.testing.assert_array_equal(overlay(photo, heatmap, opacity=0), photo)


def test_opacity_one_is_the_pure_colours(photo, heatmap):
    np.testing.assert_array_equal(overlay(photo, heatmap, opacity=1, colormap="jet"), colours(heatmap, "jet"))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1))
def test_any_opacity_mixes_linearly(opacity):
    photo = np.full((2, 3, 3), (200, 100, 0), np.uint8)
    heatmap = np.array([[0, 0.5, 1], [1, 0.5, 0]])
    mixed = (1 - opacity) * photo + opacity * colours(heatmap, DEFAULT).astype(float)
    assert np.abs(np.asarray(overlay(photo, heatmap, opacity=opacity)) - mixed).max() <= 1


def test_a_red_photo_stays_red(heatmap):
    red = np.zeros((30, 50, 3), np.uint8)
    red[..., 0] = 255
    pixel = overlay(red, np.zeros((30, 50)), colormap="gray").getpixel((7, 3))
    assert pixel[0] in (127, 128)
    assert pixel[1:] == (0, 0)


def test_every_kind_of_photo_gives_the_same_overlay(photo, heatmap):
    expected = np.asarray(overlay(photo, heatmap))
    for same in (Image.fromarray(photo), photo / 255, (photo / 255).astype(np.float32)):
        np.testing.assert_array_equal(overlay(same, heatmap), expected)


def test_a_grey_photo_is_taken_as_three_equal_channels(photo, heatmap):
    grey = photo[..., 0]
    expected = overlay(np.repeat(grey[..., None], 3, axis=2), heatmap)
    for same in (grey, Image.fromarray(grey), grey / np.float32(255)):
        np.testing.assert_array_equal(overlay(same, heatmap), expected)


def test_the_inputs_are_left_alone(photo, heatmap):
    picture, values = Image.fromarray(photo), heatmap.copy()
    values[:5] = np.nan
    before = values.copy()
    for opacity in (0, 0.5):
        overlay(picture, values, opacity=opacity)
    np.testing.assert_array_equal(picture, photo)
    np.testing.assert_array_equal(values, before)


def test_signed_maps_use_the_diverging_default_unless_told_otherwise(photo, heatmap):
    signed = overlay(photo, heatmap, opacity=1, signed=True)
    np.testing.assert_array_equal(signed, colours(heatmap, DIVERGING))
    chosen = overlay(photo, heatmap, opacity=1, signed=True, colormap="vik")
    np.testing.assert_array_equal(chosen, colours(heatmap, "vik"))


class TestNotSeen:
    @pytest.fixture
    def cropped(self, heatmap):
        values = np.full_like(heatmap, np.nan)
        values[5:25, 10:40] = heatmap[5:25, 10:40]
        return values

    def test_inside_the_crop_nothing_changes(self, photo, heatmap, cropped):
        for opacity in (0, 0.5, 1):
            part = np.asarray(overlay(photo, cropped, opacity=opacity))[5:25, 10:40]
            whole = np.asarray(overlay(photo, heatmap, opacity=opacity))[5:25, 10:40]
            np.testing.assert_array_equal(part, whole)

    @pytest.mark.parametrize("opacity", [0, 0.5, 1])
    def test_outside_it_is_grey_dark_and_still_recognisable(self, photo, cropped, opacity):
        shown = np.asarray(overlay(photo, cropped, opacity=opacity)).astype(int)
        outside = np.isnan(cropped)
        outside[4:26, 9:41] = False  # the frame
        grey = shown[outside]
        assert np.ptp(grey, axis=1).max() == 0
        assert grey.max() < 130
        luminance = np.asarray(Image.fromarray(photo).convert("L"))[outside]
        assert np.corrcoef(grey[:, 0], luminance)[0, 1] > 0.99

    def test_a_light_frame_stands_just_outside_the_crop(self, photo, cropped):
        shown = np.asarray(overlay(photo, cropped))
        for edge in (shown[4, 9:41], shown[25, 9:41], shown[4:26, 9], shown[4:26, 40]):
            assert edge.min() > 200

    def test_a_crop_that_touches_the_border_has_no_frame_there(self, photo, heatmap):
        heatmap[:, 30:] = np.nan
        shown = np.asarray(overlay(photo, heatmap, opacity=0))
        np.testing.assert_array_equal(shown[:, :30], photo[:, :30])
        assert shown[:, 30].min() > 200

    def test_nothing_seen_at_all_is_grey_everywhere(self, photo):
        shown = np.asarray(overlay(photo, np.full((30, 50), np.nan)))
        assert np.ptp(shown, axis=2).max() == 0
        assert shown.max() < 130


class TestErrors:
    def test_another_size_names_both(self, photo):
        with pytest.raises(InputError, match=r"\(50, 30\).*30 high and 50 wide"):
            overlay(photo, np.zeros((50, 30)))

    @pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
    def test_opacity(self, photo, heatmap, opacity):
        with pytest.raises(InputError, match="opacity must lie between 0"):
            overlay(photo, heatmap, opacity=opacity)

    def test_channels_first(self, photo, heatmap):
        with pytest.raises(InputError, match=r"transpose\(1, 2, 0\)"):
            overlay(photo.transpose(2, 0, 1), heatmap)

    def test_a_normalised_photo(self, photo, heatmap):
        with pytest.raises(InputError, match="Undo the model's normalisation"):
            overlay((photo / 255 - 0.5) / 0.25, heatmap)

    @pytest.mark.parametrize("bad", [np.zeros((30, 50, 4), np.uint8), np.zeros((30, 50), int), "a.png", None])
    def test_no_photo(self, heatmap, bad):
        with pytest.raises(InputError, match="image must"):
            overlay(bad, heatmap)

    def test_more_than_eight_bits(self, heatmap):
        with pytest.raises(InputError, match="8 bits"):
            overlay(Image.new("I;16", (50, 30)), heatmap)

    @pytest.mark.parametrize("bad", [np.zeros((30, 50), np.uint8), [[0.5]]])
    def test_no_heatmap(self, photo, bad):
        with pytest.raises(InputError, match="floating-point NumPy array"):
            overlay(photo, bad)


class TestColorbar:
    def test_the_picture_is_kept_and_the_height_too(self, photo):
        sheet = np.asarray(with_colorbar(photo))
        assert sheet.shape[0] == 30
        np.testing.assert_array_equal(sheet[:, :50], photo)

    @pytest.mark.parametrize("height", [120, 900])
    def test_the_bar_runs_from_low_at_the_bottom_to_high_at_the_top(self, height):
        sheet = np.asarray(with_colorbar(np.zeros((height, 80, 3), np.uint8), "viridis", label="evidence"))
        column = next(x for x in range(80, sheet.shape[1]) if (sheet[:, x] != 255).any())
        bar = sheet[:, column].astype(int)
        assert np.abs(bar[0] - lut("viridis")[-1]).max() <= 3
        assert np.abs(bar[-1] - lut("viridis")[0]).max() <= 3
        lightness = bar @ np.array([0.2126, 0.7152, 0.0722])
        assert np.diff(lightness).max() <= 1  # downwards it only gets darker

    def test_it_grows_with_the_picture(self):
        widths = [with_colorbar(Image.new("RGB", (10, height))).width - 10 for height in (300, 600, 1200)]
        assert widths[1] == pytest.approx(2 * widths[0], rel=0.2)
        assert widths[2] == pytest.approx(2 * widths[1], rel=0.1)

    def test_every_text_leaves_ink_in_its_place(self):
        plain = Image.new("RGB", (10, 300))
        bare = np.asarray(with_colorbar(plain, low="", high=""))
        full = np.asarray(with_colorbar(plain, low="−1", middle="0", high="1"))
        ticks = full[:, bare.shape[1] - 6 :].min(axis=(1, 2)) < 100
        assert ticks[:20].any()
        assert ticks[130:170].any()
        assert ticks[-20:].any()
        assert not ticks[30:120].any()

    def test_a_minus_sign_is_drawn(self):
        plain = Image.new("RGB", (10, 300))
        assert with_colorbar(plain, low="−1").tobytes() == with_colorbar(plain, low="-1").tobytes()

    def test_a_label_longer_than_the_bar_is_shortened_not_cut(self):
        plain = Image.new("RGB", (10, 120))
        sheet = np.asarray(with_colorbar(plain, low="", high="", label="evidence " * 20))
        strip = sheet[:, 28:].min(axis=(1, 2))
        assert strip[0] > 200
        assert strip.min() < 100
