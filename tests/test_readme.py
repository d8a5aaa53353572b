"""The README is short, opens with the two commands, and leads on."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LINK = re.compile(r"\]\(([^)#]+)")


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
