"""The site's blocks of code are copied by a button: what was typed, without prompts and what was printed."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "_static" / "copy.js"
BLOCKS = {
    "import camscope\n\ncamscope.explain(model, x)\n": "import camscope\n\ncamscope.explain(model, x)",
    ">>> for name in e.methods:\n...     print(name)\ngradcam\n": "for name in e.methods:\n    print(name)",
    "camscope explain photo.jpg   # a table\n": "camscope explain photo.jpg   # a table",
}


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    file = tmp_path_factory.mktemp("copying") / "page.html"
    blocks = "".join(f'<div class="highlight"><pre>{escape(code)}</pre></div>' for code in BLOCKS)
    file.write_text(f"<meta charset='utf-8'><script>{SCRIPT.read_text('utf-8')}</script>{blocks}", "utf-8")
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.goto(file.as_uri())
    yield opened
    context.close()


def test_each_block_gives_what_was_typed(page):
    buttons = page.get_by_role("button", name="Copy this code")
    assert buttons.count() == len(BLOCKS)
    for number, typed in enumerate(BLOCKS.values()):
        buttons.nth(number).click()
        page.wait_for_function(
            "place => document.querySelectorAll('button')[place].textContent === 'copied'", arg=number
        )
        assert page.evaluate("navigator.clipboard.readText()") == typed
