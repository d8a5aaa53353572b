"""The options of the command whose keyword in Python has another name: errors name them as their reader writes them."""

OPTIONS = {
    "class_names": "--classes",
    "labels": "--label",
    "layers": "--layer",
    "methods": "--method",
    "share": "--shard",
    "targets": "--target",
}
"""By keyword. All others are the keyword with `--` before it and hyphens in it; see `camscope.errors.keyword`."""
