"""A report: one HTML file that opens offline, with the page, the photos and their maps inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from camscope.app.built_page import built, in_html
from camscope.app.run_report import add_run
from camscope.app.view import View
from camscope.errors import InputError, check_folder
from camscope.results import Explanation

if TYPE_CHECKING:
    from camscope.runs import RunRows

_LARGEST = 10_000_000
"""Bytes of a file, about; a report that would be larger has several."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="page"></div>
<noscript>This report shows its maps by a script, which your browser does not run.</noscript>
<script id="camscope-view" type="application/json">{view}</script>
<script type="module">{script}</script>
</body>
</html>
"""

_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing is fetched, and no script or style runs but the page's own, whatever names photos and classes have."""


def report(
    explanations: Explanation | Iterable[Explanation] | RunRows,
    path: str | Path,
    *,
    title: str | None = None,
    spec: str | None = None,
    side: int = 640,
) -> list[Path]:
    """Make a report of photos, sounds or texts: a page that shows and compares their maps offline, to be mailed.

        camscope.report(e, "report.html")
        camscope.report(explainer.over(loader, targets="labels", only="wrong"), "wrong.html")
        camscope.report(camscope.runs.open("run").where("label != top1").limit(200), "wrong.html")

    Args:
        explanations: one or several, by one model, the same methods and layers; or rows of a run. They are read one by
            one, so that memory holds small pictures and maps alone.
        path: where to write, `.html`. A report of more than about 10 MB becomes several files, with a number each.
        title: of the page; None names the model.
        spec: how the model is named in a command, such as `timm:resnet50`, for the lines that make what is shown.
        side: of the photos, in pixels along the longer side, at most.

    Returns:
        The files.

    Raises:
        InputError: if there is nothing to report on, these are no explanations of one kind by one model, or the path
            is no `.html`.

    Example:
        >>> [file.name for file in camscope.report(camscope.explain("demo", "photo.jpg"), "report.html")]
        ['report.html']
    """
    check_report(path)
    view = View(title or "", spec, side)
    if _is_run(explanations):
        add_run(view, explanations)
        return write_report(view, path)
    for e in [explanations] if isinstance(explanations, Explanation) else explanations:
        if not isinstance(e, Explanation):
            raise InputError(
                f"A report is made of explanations, and one of these is of the type {type(e).__name__}: "
                "camscope.report(explainer(photos), 'report.html')."
            )
        view.add(e)
    return write_report(view, path)


def _is_run(given: Explanation | Iterable[Explanation] | RunRows) -> TypeGuard[RunRows]:
    """Whether these are rows of a run; that room is not imported for it."""
    return type(given).__name__ == "RunRows"


def write_report(view: View, path: str | Path, *, largest: int = _LARGEST) -> list[Path]:
    """Write a report, as one file or as several that lead to one another.

    Args:
        view: photos, sounds or texts, and their maps.
        path: where to write, `.html`. Further files have a number behind its name.
        largest: bytes of one file, about.

    Returns:
        The files.

    Raises:
        InputError: if there is nothing in it, the suffix is another, or the folder is not there.
    """
    path = Path(path)
    check_report(path)
    if not view.entries:
        raise InputError("There is nothing to report on.")
    parts = list(_parts([len(json.dumps(one)) for one in view.entries], largest))
    names = [path.name, *(f"{path.stem}-{number}.html" for number in range(2, len(parts) + 1))]
    written = []
    for name, part in zip(names, parts, strict=True):
        pages = [
            {"href": other, "first": some.start + 1, "last": some.stop, "here": other == name}
            for other, some in zip(names, parts, strict=True)
        ]
        document = {
            **view.to_dict(view.entries[part.start : part.stop]),
            "pages": pages if len(parts) > 1 else [],
        }
        target = path.with_name(name)
        target.write_text(report_page(document), "utf-8")
        written.append(target)
    return written


def check_report(path: str | Path) -> None:
    """Refuse the path of a report before any work is done, if nothing can be written there.

    Raises:
        InputError: if the suffix is another than `.html`, or the folder is not there.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise InputError(f"{path}: a report is a .html file, such as {path.with_suffix('.html')}.")
    check_folder(path)


def report_page(document: dict[str, Any]) -> str:
    """The page with a view in it, as one file.

    Args:
        document: the view, as `View.to_dict` gives it, with the files of its report.
    """
    script, style = (built(name).replace("</", "<\\/") for name in ("page.js", "page.css"))  # ends no element
    return _PAGE.format(
        title=html.escape(document["title"]),
        policy=_POLICY.format(style=_hash(style), script=_hash(script)),
        style=style,
        script=script,
        view=in_html(document),
    )


def _parts(sizes: Sequence[int], largest: int) -> Iterator[range]:
    """Which of them fit into one file each, one after another."""
    start, sum_ = 0, 0
    for number, size in enumerate(sizes):
        if number > start and sum_ + size > largest:
            yield range(start, number)
            start, sum_ = number, 0
        sum_ += size
    yield range(start, len(sizes))


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
