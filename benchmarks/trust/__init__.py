"""A leaderboard: every method on real photos and real weights, by the tests of `camscope.metrics` and `camscope.trust`.

`python -m benchmarks.trust` measures, and adds a line of JSON for every model, photo and test to `rows.jsonl`, so that
it can be stopped and goes on where it was. `--page docs/leaderboard.md` writes the page and its figure from the rows
that are there.

- `tests_of_maps.py`: what is measured, of which methods, on how many photos;
- `in_mosaics.py`: the grid pointing game on the same photos;
- `kept_rows.py`: the lines of `rows.jsonl`;
- `ranking.py`: from rows to a number of each method with its interval;
- `page.py`, `drawn.py`: the page and its figure.
"""
