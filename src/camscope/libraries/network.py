"""Whether weights can be fetched: one short try, since the libraries themselves wait and try again for a minute."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from camscope.errors import ModelError

_PATIENCE = 1.5
"""Seconds after which a server that has not answered is taken as one that does not."""


def why_unreachable(url: str) -> str:
    """Why nothing can be fetched from a server; empty if it can be connected to.

    Looking a name up cannot be given a time limit, so it is done in a thread that is left alone when time is up.

    Args:
        url: of anything there. If a proxy is set for it, that is tried in its place.
    """
    host, port = _asked(url)
    said: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_PATIENCE).close()
            said.append("")
        except OSError as error:
            said.append(error.strerror or str(error))

    trial = threading.Thread(target=connect, daemon=True)
    trial.start()
    trial.join(_PATIENCE)
    reason = said[0] if said else f"no answer within {_PATIENCE:g} seconds"
    return f"{host} cannot be reached: {reason}" if reason else ""


def _asked(url: str) -> tuple[str, int]:
    """The host and the port that are connected to for a URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return parts.hostname or host, parts.port or (80 if parts.scheme == "http" else 443)


def hub_unreachable() -> str:
    """Why nothing can be fetched from Hugging Face's hub; empty if it can be connected to."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return why_unreachable(constants.ENDPOINT)


def cached_from_hub(repository: str, *files: str) -> str | None:
    """The first of some files of a repository on the hub that was fetched before; None if none was.

    Args:
        repository: its name, perhaps with `@` and a revision behind it.
        files: their names.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    name, _, revision = repository.partition("@")
    try:
        found = (try_to_load_from_cache(name, file, revision=revision or None) for file in files)
        return next((path for path in found if isinstance(path, str)), None)
    except HFValidationError:
        return None


def kept_by_torch(url: str) -> Path | None:
    """The file that torch.hub kept when it fetched a URL; None if it did not."""
    from torch import hub

    path = Path(hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    return path if path.is_file() else None


def models_in_hub_cache() -> list[str]:
    """The names of the models of Hugging Face's hub that were fetched before."""
    from huggingface_hub import constants

    prefix = "models--"
    folders = sorted(Path(constants.HF_HUB_CACHE).glob(f"{prefix}*"))
    return [folder.name.removeprefix(prefix).replace("--", "/") for folder in folders]


def anything_fetched() -> bool:
    """Whether any model was ever fetched, from the hub or by torch.hub (which is not imported for this)."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    kept = Path(home).expanduser() / "hub" / "checkpoints"
    return bool(models_in_hub_cache()) or any(kept.glob("*"))


def no_weights(what: str, reason: str) -> ModelError:
    """The error for a model whose published weights are not at hand, naming what works without a network.

    Args:
        what: the model, as it was named.
        reason: why they cannot be fetched.
    """
    return ModelError(
        f"The published weights of {what} were not fetched before, and {reason}. What works without a network: a file, "
        f"--model {what} --weights FILE (weights=FILE in Python); the untrained network, --weights random; or demo, "
        "which comes with its weights."
    )
