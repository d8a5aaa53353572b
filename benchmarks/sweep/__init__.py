"""Does every model get its map, and is it the map of the right places? See `benchmarks.sweep.__main__`.

| module | one idea |
|---|---|
| `rows` | a model to try, how it is tried, and the row that says what came of it |
| `place` | whether a layer's positions answer where the input is altered; knows nothing of camscope's own check |
| `run` | one model: built, explained, its place checked |
| `processes` | the same in a process of its own, with limits of time and memory |
| `table` | rows → `docs/sweep.md` |
| `registered` | timm's and torchvision's registries |
| `transformers`, `tiny`, `open_clip`, `smp`, `monai`, `peft` | the models of one library, built small |
"""
