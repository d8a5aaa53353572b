"""Parts of an explanation: some of its images, one of its methods, by the arrays they hold."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from camscope import compare
from camscope.errors import InputError
from tests.results.made import LAYERS, METHODS, SHORT, heat_of, made, panels_of, photos, picture_of

KEYS = list(itertools.product(METHODS, LAYERS))


@pytest.fixture(scope="module")
def e():
    return made()


@pytest.mark.parametrize("which", [slice(0, 2), slice(None, None, -1), slice(1, 5), slice(-1, None)])
def test_a_slice_has_the_rows_of_its_images_in_its_order(e, which):
    part = e[which]
    numbers = list(range(2))[which]
    assert len(part) == len(numbers)
    for key in KEYS:
        np.testing.assert_array_equal(part.maps(*key), e.maps(*key)[numbers])
        np.testing.assert_array_equal(part.gradient_free[key], e.gradient_free[key][numbers])
        assert part.status[key] == tuple(e.status[key][i] for i in numbers)
    for name in ("scores", "logits", "probabilities"):
        np.testing.assert_array_equal(getattr(part, name), getattr(e, name)[numbers])
    for layer in LAYERS:
        for field in dataclasses.fields(e.channels[layer]):
            mine, whole = (getattr(kept.channels[layer], field.name) for kept in (part, e))
            np.testing.assert_array_equal(mine, whole[numbers])
    assert part.targets == tuple(e.targets[i] for i in numbers)
    for mine, number in enumerate(numbers):
        assert part.input_image(mine).picture.tobytes() == photos()[number].tobytes()


def test_an_empty_slice_is_no_batch(e):
    with pytest.raises(IndexError, match=r"no image in slice\(2, 5, None\): the batch has 2"):
        e[2:5]


def test_it_can_be_gone_through_image_by_image(e):
    ones = list(e)
    assert [one.targets for one in ones] == [(e.targets[0],), (e.targets[1],)]
    np.testing.assert_array_equal(ones[1].maps(*KEYS[0]), e.maps(*KEYS[0])[1:])


def test_a_method_alone_has_its_maps_at_all_layers(e):
    part = e["layercam"]
    assert (part.methods, part.layers) == (("layercam",), LAYERS)
    assert list(part.facts) == ["layercam"]
    for layer in LAYERS:
        assert part.maps(layer=layer) is e.maps("layercam", layer)
        assert part.status["layercam", layer] == e.status["layercam", layer]


def test_a_method_at_a_layer_needs_no_more_naming(e):
    part = e["eigencam", "late"]
    assert part.maps() is e.maps("eigencam", "late")
    assert list(part.channels) == ["late"]
    assert list(part[1].gradient_free) == [("eigencam", "late")]


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [
        ("gradcamm", InputError, "'gradcamm' was not explained.*gradcam"),
        (("gradcam", "middle"), InputError, "layer 'middle' was not explained; early, late"),
        (("gradcam", 0), TypeError, r"e\['gradcam', 'layer4'\]"),
        (1.5, TypeError, "1.5 is no image's number"),
    ],
    ids=str,
)
def test_what_is_no_part_is_refused(e, which, error, words):
    with pytest.raises(error, match=words):
        e[which]


# ------------------------------------------------------------------ a whole batch in one figure


@pytest.mark.parametrize("scale", ["map", "batch", "signed"])
def test_a_gallery_of_several_targets_has_a_row_for_each_image(e, scale):
    drawn = panels_of(e.gallery(method="eigencam", layer="early", scale=scale))
    assert len(drawn) == 2 * 4
    for image in range(2):
        photo, *maps = drawn[4 * image : 4 * image + 4]
        assert photo.title == f"image {image}"
        np.testing.assert_array_equal(photo.pixels, np.asarray(photos()[image]))
        assert [panel.title for panel in maps] == list(SHORT[image])
        for target, panel in enumerate(maps):
            np.testing.assert_array_equal(
                panel.pixels, picture_of(e, "eigencam", "early", image, target, scale)
            )


def test_a_gallery_of_one_target_of_some_images(e):
    photo, heat = panels_of(e["gradcam", "early"].gallery(target=1, images=[-1]))
    assert photo.title == "image 1"
    np.testing.assert_array_equal(heat.pixels, picture_of(e, "gradcam", "early", 1, 1))
    (alone,) = panels_of(e["gradcam", "early"].gallery(target=-2, images=[1], photos=False))
    np.testing.assert_array_equal(alone.pixels, heat.pixels)


def test_a_gallery_says_what_it_leaves_out(e):
    many = e["gradcam", "early"][:1]
    rows = dataclasses.replace(
        many,
        raw={key: np.repeat(maps, 70, axis=0) for key, maps in many.raw.items()},
        scores=np.repeat(many.scores, 70, axis=0),
        logits=np.repeat(many.logits, 70, axis=0),
        probabilities=np.repeat(many.probabilities, 70, axis=0),
        targets=many.targets * 70,
        input_images=many.input_images.only([0] * 70),
        gradient_free={},
    )
    figure = rows.gallery(target=0, panel_inches=0.5)
    assert len(panels_of(figure)) == 60
    assert any(
        "the first 30 of 70 images: images=[…] shows others" in text.get_text() for text in figure.texts
    )


def test_a_gallery_refuses_what_there_is_not(e):
    with pytest.raises(InputError, match="target=3: 3 targets were explained, 0 to 2"):
        e["gradcam", "early"].gallery(target=3)
    with pytest.raises(IndexError, match="no image 7"):
        e["gradcam", "early"].gallery(images=[7])
    with pytest.raises(InputError, match=r"no option 'colourmap'.*colormap"):
        e["gradcam", "early"].gallery(colourmap="jet")
    with pytest.raises(InputError, match="Several methods were explained"):
        e.gallery()


# ------------------------------------------------------------------ two explanations side by side


def test_compared_columns_are_the_explanations_and_r_is_their_correlation(e):
    figure = compare(e["gradcam", "early"], e["eigencam", "late"], target=1)
    drawn = panels_of(figure)
    assert len(drawn) == 2 * 3
    for image in range(2):
        photo, first, second = drawn[3 * image : 3 * image + 3]
        assert photo.title == f"image {image}"
        np.testing.assert_array_equal(first.pixels, picture_of(e, "gradcam", "early", image, 1))
        np.testing.assert_array_equal(second.pixels, picture_of(e, "eigencam", "late", image, 1))
        a, b = (heat_of(e, *key, image, 1) for key in (("gradcam", "early"), ("eigencam", "late")))
        seen = np.isfinite(a)
        assert second.subtitle.endswith(f"r = {np.corrcoef(a[seen], b[seen])[0, 1]:.2f}")
        assert "r =" not in first.subtitle
    assert [panel.column for panel in drawn[1:3]] == ["gradcam · early", "eigencam · late"]


def test_columns_are_called_by_what_differs(e):
    _, first, second = panels_of(compare(e["gradcam", "early"], e["gradcam", "late"], image=0))
    assert (first.column, second.column) == ("early", "late")
    other = dataclasses.replace(e["gradcam", "early"], provenance={"model_name": "Other"})
    _, first, second = panels_of(compare(e["gradcam", "early"], other, image=0))
    assert (first.column, second.column) == ("Made", "Other")
    _, first, second = panels_of(
        compare(e["gradcam", "early"], e["gradcam", "early"], image=0, labels=["a", "b"])
    )
    assert (first.column, second.column) == ("a", "b")
    assert second.subtitle.endswith("r = 1.00")


def test_what_cannot_be_compared_is_refused(e):
    one = e["gradcam", "early"]
    with pytest.raises(InputError, match=r"Explanation 1 has 6 maps of each target.*e\['gradcam', 'early'\]"):
        compare(one, e)
    with pytest.raises(InputError, match=r"compare takes two or more"):
        compare(one)
    with pytest.raises(InputError, match="of 1 and 2 images"):
        compare(one, one[:1])
    with pytest.raises(InputError, match="not of the same images"):
        compare(one[:1], one[1:])
    with pytest.raises(InputError, match="1 labels were given for 2"):
        compare(one, one, labels=["a"])
    with pytest.raises(InputError, match="target=3: the explanations have 3 targets in common"):
        compare(one, one, target=3)


# ------------------------------------------------------------------ where a figure is drawn


def test_a_figure_stands_in_the_output_of_a_notebooks_cell(e):
    figure = e["gradcam", "early"].figure()
    png, shown = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    width, height = figure.get_size_inches()
    assert shown == {"width": round(width * 90), "height": round(height * 90)}


@pytest.mark.parametrize("width", [3.5, 7.2])
def test_a_figure_is_as_wide_as_it_should_be(e, width):
    assert e.figure(width=width).get_size_inches()[0] == pytest.approx(width, abs=0.01)


def test_a_figure_that_would_be_illegible_is_refused(e):
    with pytest.raises(InputError, match=r"width=0.5: nothing is legible; this figure can be \d\.\d inches"):
        e.figure(width=0.5)


def test_a_figure_is_drawn_on_axes_of_ones_own(e):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3))
    axes = figure.subplots(1, 3)
    one = e["eigencam", "early"]
    assert one.figure(1, ax=axes) is figure
    for target, ax in enumerate(axes):
        (shown,) = ax.images
        np.testing.assert_array_equal(
            np.asarray(shown.get_array()), picture_of(e, "eigencam", "early", 1, target)
        )
        assert ax.get_title().splitlines()[0] == SHORT[1][target]
    four = Figure(figsize=(9, 3)).subplots(2, 2)
    one.figure(1, ax=four)
    np.testing.assert_array_equal(np.asarray(four[0, 0].images[0].get_array()), np.asarray(photos()[1]))
    with pytest.raises(InputError, match="ax= has 2 axes; this figure has 4 panels, 3 of them heatmaps"):
        one.figure(1, ax=axes[:2])
