"""Random weights leave a mark wherever a map is looked at: note, caption, notebook, provenance, file."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.errors import CamscopeWarning
from tests.cli.brightness import SPEC, bright
from tests.test_display import words

NOTE = "untrained weights: the map says nothing of any picture"


@pytest.fixture(scope="module")
def explainer() -> camscope.Explainer:
    return camscope.Explainer("timm:test_efficientnet", weights="random")


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def untrained(explainer, grey) -> camscope.Explanation:
    with pytest.warns(CamscopeWarning, match=NOTE):
        return explainer(grey, methods=["gradcam", "layercam"], channels=2)


def test_it_is_noted_and_stands_in_the_provenance_and_in_the_file(untrained, tmp_path):
    assert untrained.notes[0] == NOTE
    assert untrained.provenance["untrained"] is True
    assert untrained.summary()["untrained"] is True
    again = camscope.load(untrained.save(tmp_path / "e.npz"))
    assert again.untrained
    assert NOTE in again.notes


@pytest.mark.parametrize("kind", [{}, {"by": "channels"}, {"by": "targets", "method": "layercam"}])
def test_every_caption_ends_in_it(untrained, kind):
    (caption,) = (text for text in words(untrained.figure(**kind)) if text.startswith("timm:"))
    assert caption.endswith(" · untrained")


def test_a_notebook_shows_it(untrained):
    html = untrained._repr_html_()
    assert "test_efficientnet, untrained" in html
    assert NOTE in html


def test_concepts_of_an_untrained_network_are_marked_too(explainer, grey):
    with pytest.warns(CamscopeWarning, match=NOTE):
        concepts = explainer.concepts(grey, count=2)
    assert NOTE in concepts.explanation.notes
    assert any(text.endswith("untrained") for text in words(concepts.figure()))


@pytest.mark.parametrize("options", [{}, {"weights": "random"}])
def test_nothing_is_said_of_a_model_of_which_it_is_not_known(options, grey):
    e = camscope.explain(SPEC if options else bright(), grey, **options)
    assert not e.untrained
    assert "untrained" not in e.provenance
    assert "untrained" not in e.summary()
    assert not any("untrained" in text for text in (*e.notes, *words(e.figure())))
