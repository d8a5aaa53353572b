"""The README is short, opens with the two commands, and leads on; the table of methods is the methods' own."""

import re
from pathlib import Path

from benchmarks.methods_page import marked

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)#]+)")


def test_the_table_of_methods_is_what_the_methods_say_of_themselves():
    page = (ROOT / "docs" / "facts" / "methods.md").read_text("utf-8")
    assert marked() in page, "run: python -m benchmarks.methods_page docs/facts/methods.md"


def test_it_opens_with_the_two_commands():
    assert README.split("\n\n")[1].split("\n")[0].strip().startswith("make demo")
    assert README.split("\n\n")[1].split("\n")[1].strip().startswith("make test")


def test_it_is_read_in_five_minutes():
    assert len(README.split()) <= 1500


def test_it_leads_to_every_guide():
    linked = set(LINK.findall(README))
    guides = {f"docs/guides/{page.name}" for page in (ROOT / "docs" / "guides").glob("*.md")}
    assert guides - linked <= {f"docs/guides/{name}.md" for name in ("heads", "reproducibility")}
    assert all((ROOT / link).exists() for link in linked if "://" not in link)
