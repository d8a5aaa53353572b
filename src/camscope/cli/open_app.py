"""`camscope app`: a page on this machine to look at maps, with the engine behind it."""

from __future__ import annotations

import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from camscope.cli.model_options import ModelOptions
from camscope.cli.output import console
from camscope.cli.photo_sources import reads_as_text
from camscope.errors import InputError, MissingExtraError, without_warnings
from camscope.images import find_photos, photo_size
from camscope.signals import names_sound, to_sound


def open_app(
    *given: str,
    model: Annotated[list[str] | None, Parameter(negative="")] = None,
    port: int | None = None,
    host: str = "127.0.0.1",
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
    device: str | None = None,
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Open a page on this machine: drop photos, compare maps, ask whether they can be trusted, look through runs.

    Parameters
    ----------
    given
        Photos, folders of photos, sample:NAME, .wav files, or the folders of runs and trainings.
    model
        demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER, keras:NAME-OR-FILE, onnx:FILE.onnx or FILE.py:FACTORY. Say
        it again for several. Default: demo.
    port
        Of the address. Default: 8765, or the next that is free.
    host
        The address to listen on. Anything but this machine's own is seen by others, who need the token.
    browser
        Whether a browser is opened.
    device
        cpu, cuda, cuda:1, mps …
    trust_pickle
        Read a file that can run code. Only for files you would run as a program.
    """
    try:
        from camscope.app.serving import USUAL_PORT, Session, address, listening, server_of
    except ImportError as error:
        raise MissingExtraError("camscope app", "app") from error
    session = Session()
    others = [one for one in given if not (Path(one).is_dir() and session.folders.add(Path(one)))]
    sounds = [one for one in others if names_sound(one)]
    for sound in sounds:
        to_sound(sound)  # it is there, and a sound
        session.photos.add_file(sound)
    others = [one for one in others if one not in sounds]
    for one in others:
        _refuse_what_is_dropped(one)
    for photo in find_photos(others) if others else []:
        if photo in others:
            photo_size(photo)  # what was named is there, and a photo
        session.photos.add_file(photo)
    listener = listening(host, port)
    for spec in model or ["demo"]:
        options = ModelOptions(spec, None, trust_pickle, device)
        session.models.add(spec, options.open, spec=spec)
    where = address(session, listener)
    people = console()

    def ready() -> None:
        number = listener.getsockname()[1]
        if port is None and number != USUAL_PORT:
            people.print(f"Port {USUAL_PORT} is taken, so this is at {number}.", soft_wrap=True)
        people.print(f"camscope app is at  {where}", soft_wrap=True, markup=False)
        people.print("Ctrl-C ends it.", soft_wrap=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(where,), daemon=True).start()

    with without_warnings(), suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        server_of(session, listener, host, ready=ready).run(sockets=[listener])


def _refuse_what_is_dropped(given: str) -> None:
    """Refuse texts, which the page takes.

    Raises:
        InputError: saying how.
    """
    if Path(given).suffix.lower() == ".txt" or reads_as_text(given):
        raise InputError(
            f"'{given}' is a text, and camscope app opens photos, sounds, runs and trainings. Start it with a model "
            "that reads texts, --model hf:NAME, and write there, or drop a .txt file on the page."
        )
