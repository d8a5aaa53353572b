"""The README says what the code says."""

from pathlib import Path

from benchmarks.methods_table import marked

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_table_of_methods_is_what_the_methods_say_of_themselves():
    assert marked() in README, "run: python -m benchmarks.methods_table README.md"


def test_it_opens_with_the_two_commands():
    assert README.split("\n\n")[1].split("\n")[0].strip().startswith("make demo")
    assert README.split("\n\n")[1].split("\n")[1].strip().startswith("make test")
