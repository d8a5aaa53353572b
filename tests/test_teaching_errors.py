"""What is nearly right is refused with what to write instead: classes, options, folders. Titles tell targets apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope import Class, Contrast, ModelError, PerImage, TopK, render
from camscope.errors import first_line
from camscope.models.torch.doorway import move

X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def explained() -> camscope.Explanation:
    from tests.conftest import make_tiny_cnn

    return camscope.explain(make_tiny_cnn(), X)


@pytest.mark.parametrize(
    "which",
    [1.0, 1.5, True, np.bool_(True), None, [1], (1,), np.float32(1), torch.tensor(1.0), b"1"],
    ids=repr,
)
def test_a_class_is_a_whole_number_or_a_name(which, tiny_cnn):
    with pytest.raises(camscope.TargetError, match="is no class: expected its index, a whole number"):
        camscope.explain(tiny_cnn, X, targets=Class(which))
    with pytest.raises(camscope.TargetError, match="is no class: expected its index, a whole number"):
        camscope.explain(tiny_cnn, X, targets=Contrast(0, [which]))


@pytest.mark.parametrize("which", [np.int64(1), np.uint8(1), torch.tensor(1), np.array(1)], ids=repr)
def test_a_whole_number_of_any_library_is_an_index(which, tiny_cnn):
    found = camscope.explain(tiny_cnn, X, targets=[Class(which), Contrast(0, which)])
    assert [target.index for target in found.targets[0]] == [1, 0]
    assert found.targets[0][1].against == ("class 1",)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (lambda: TopK(1.5), r"TopK\(1.5\): k must be a whole number"),
        (lambda: TopK("2"), r"TopK\('2'\): k must be a whole number"),
        (lambda: Contrast(0, 2.0), "2.0 is no class"),
    ],
)
def test_other_targets_say_what_they_expect(target, words, tiny_cnn):
    with pytest.raises(camscope.TargetError, match=words):
        camscope.explain(tiny_cnn, X, targets=target())


def test_saving_into_a_folder_that_is_not_there_says_how_to_make_it(explained, tmp_path):
    for write in (explained.save, lambda path: render.save(explained.figure(), path.with_suffix(".png"))):
        with pytest.raises(camscope.InputError, match=r"There is no folder .*new.*mkdir\(parents=True\)"):
            write(tmp_path / "new" / "e.npz")
        (tmp_path / "file").touch()
        with pytest.raises(camscope.InputError, match="file' is no folder"):
            write(tmp_path / "file" / "e.npz")
    with pytest.raises(camscope.InputError, match="is no file name"):
        explained.save("")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda e: e.figure(colourmap="jet"), r"no option 'colourmap'\. Did you mean 'colormap'"),
        (lambda e: e.figure(by="targets", box=True), r"no option 'box'\. Did you mean 'boxes'"),
        (lambda e: e.figure(by="methods", taget=1), r"no option 'taget'\. Did you mean 'target'"),
        (
            lambda e: e.overlay(opacty=1),
            r"no option 'opacty'\. Did you mean 'opacity'.*colormap, opacity, scale",
        ),
    ],
)
def test_an_unknown_option_of_a_figure_names_the_nearest(draw, words, explained):
    with pytest.raises(camscope.InputError, match=words):
        draw(explained)


def test_a_type_error_of_another_cause_stays(explained):
    with pytest.raises(TypeError, match="not supported between instances of 'str' and 'float'"):
        explained.figure(panel_inches="wide")


# ---------------------------------------------------------------------- titles


def test_contrasts_that_differ_in_weighting_have_titles_that_do(tiny_cnn, tmp_path):
    targets = [Contrast(0, [1, 2], weighting="mean"), Contrast(0, [1, 2], weighting="softmax")]
    found = camscope.explain(tiny_cnn, X, targets=targets)
    first, second = found.titles[0]
    assert first != second
    assert second.endswith("γ 0.6, by probability)")
    assert camscope.load(found.save(tmp_path / "e.npz")).titles == found.titles


def test_each_image_has_the_weighting_and_the_gamma_of_its_own_contrast(tiny_cnn):
    targets = PerImage([Contrast(0, [1, 2], 0.5, weighting="softmax"), Contrast(0, [1, 2], 1.0)])
    found = camscope.explain(tiny_cnn, X, targets=targets, methods="smooth(gradcam, n=2)")
    assert [(own.weighting, own.gamma) for (own,) in found.targets] == [("softmax", 0.5), ("mean", 1.0)]


# ---------------------------------------------------------------------- what a wrapper carries


def test_what_the_user_put_on_a_wrapper_counts(tiny_cnn):
    names, how = list("abcde"), camscope.Preprocessing((32, 32))
    wrapped = nn.DataParallel(tiny_cnn)
    wrapped.class_names, wrapped.preprocessing = names, how
    explainer = camscope.Explainer(wrapped)
    assert explainer.preprocessing == how
    assert explainer(X, targets="c").targets[0][0].index == 2
    tiny_cnn.class_names = list("fghij")
    assert camscope.Explainer(wrapped)(X, targets="c").class_names == names
    del wrapped.class_names
    assert camscope.Explainer(wrapped)(X, targets="h").targets[0][0].index == 2


def test_a_file_may_give_a_model_in_a_wrapper(tmp_path):
    (tmp_path / "made.py").write_text(
        "import timm\nfrom torch import nn\n\ndef made():\n"
        "    model = nn.DataParallel(timm.create_model('test_resnet', num_classes=3).eval())\n"
        "    model.class_names = ['a', 'b', 'c']\n"
        "    return model\n"
    )
    explainer = camscope.Explainer(f"{tmp_path / 'made.py'}:made")
    assert explainer.preprocessing.source == "timm pretrained_cfg"
    assert explainer(X, targets="b").targets[0][0].index == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such axis\nat the third line"), "no such axis"),
        (ValueError("\n  behind an empty line"), "behind an empty line"),
        (NotImplementedError(), "NotImplementedError"),
        (RuntimeError("  \n "), "RuntimeError"),
    ],
)
def test_what_another_error_says_first_is_quoted_and_one_without_words_by_its_kind(error, said):
    assert first_line(error) == said


def test_a_device_that_fails_without_a_word_is_told():
    class Stays(torch.nn.Linear):
        def to(self, *args, **kwargs):
            raise NotImplementedError

    with pytest.raises(ModelError, match="cannot be moved to 'cpu': NotImplementedError"):
        move(Stays(3, 2), "cpu")
