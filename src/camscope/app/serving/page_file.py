"""The page as the server gives it: what the frontend built, and no word of any photo."""

from __future__ import annotations

from importlib.metadata import version

from camscope.app.built_page import in_html
from camscope.app.view import colour_maps

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing but what this server gives is fetched or run."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>camscope</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
</head>
<body>
<div id="page"></div>
<noscript>This page shows its maps by a script, which your browser does not run.</noscript>
<script id="camscope-view" type="application/json">{data}</script>
<script type="module" src="page.js"></script>
</body>
</html>
"""

NO_TOKEN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>camscope</title>
<body><h1>camscope</h1>
<p>This page opens with a token: open the whole address that <code>camscope app</code> printed.</p></body></html>
"""


def page() -> str:
    """The page."""
    data = {"engine": True, "version": version("camscope"), "colormaps": colour_maps()}
    return _PAGE.format(data=in_html(data))
