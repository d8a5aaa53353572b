"""Photos, texts or sounds: the one place where `camscope explain` and `camscope report` ask."""

from __future__ import annotations

from camscope.cli.photo_sources import Photos
from camscope.cli.request import Request
from camscope.cli.sound_sources import Sounds
from camscope.cli.sources import Sources
from camscope.cli.text_sources import Texts
from camscope.engine.explainer import Explainer
from camscope.errors import InputError


def find_sources(explainer: Explainer, request: Request) -> Sources:
    """What the words on the command line stand for, given what the model reads.

    Raises:
        InputError: if there is nothing to be found, or a kind of file cannot be had of it.
    """
    if explainer.hears_sounds:
        if "channels" in request.save:
            raise InputError(
                "--save channels lays feature maps over photos; these are sounds. Leave channels out."
            )
        return Sounds(request.inputs)
    if not explainer.reads_texts:
        return Photos(request.inputs, request.out)
    texts = Texts(request.inputs)
    if "channels" in request.save:
        raise InputError(
            "--save channels lays feature maps over photos; these are texts. Leave channels out."
        )
    return texts
