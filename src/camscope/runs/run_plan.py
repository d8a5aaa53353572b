"""The plan of a run: all that its rows depend on, as a JSON beside them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from camscope.errors import InputError, keyword, nearest
from camscope.images import Quick
from camscope.results.saving import finite
from camscope.runs.faster_copy import Precision
from camscope.runs.store_paths import BucketPath, StorePath, written_whole

FORMAT = 1
"""The version of the store: of the plan, and of the columns of the shards."""

PLAN = "plan.json"

_WORDS = {
    "model": "the model",
    "model_options": "the model's options",
    "weights_sha256": "the model's weights (their digest)",
    "framework": "the framework",
    "dtype": "the precision",
    "preprocessing": "the preprocessing",
    "methods": "the methods",
    "layers": "the layers",
    "targets": "the targets",
    "top": "how many top classes are kept",
    "seed": "the seed",
    "trust": "whether it is measured how much to trust a map",
    "shard_size": "how many images make a shard",
    "share": "the share of the run",
    "versions": "the versions",
}
"""What makes a run, in words; the list of inputs is compared by itself."""


@dataclass(frozen=True)
class Asked:
    """What is asked for, and of which model.

    Attributes:
        model: its name, as it was given; of an object its class.
        model_options: what else was said of it.
        weights_sha256: a digest of its weights.
        framework: and its version.
        dtype: the precision that it runs in.
        preprocessing: how photos become its input; None where its library does that by itself.
        methods: as text.
        layers: as they were named; None is the automatic choice.
        targets: as text.
        top: how many of the top classes a row has.
        seed: of methods that draw at random.
        shard_size: how many images make a shard.
        share: which shards are done here.
        versions: of packages.
        trust: whether each map is put to a short test, see `camscope.runs.short_test`.
    """

    model: str
    model_options: Mapping[str, Any]
    weights_sha256: str
    framework: str
    dtype: str
    preprocessing: Mapping[str, Any] | None
    methods: tuple[str, ...]
    layers: tuple[str, ...] | None
    targets: tuple[str, ...]
    top: int
    seed: int
    shard_size: int
    share: str
    versions: Mapping[str, str]
    trust: bool = False

    def changes(self, other: Asked) -> list[str]:
        """In what another one differs, in words: what it was and what it is."""
        old, new = (json.loads(json.dumps(finite(dataclasses.asdict(one)))) for one in (self, other))
        return [
            f"{words}: {_difference(name, old[name], new[name])}"
            for name, words in _WORDS.items()
            if _plain(name, old[name]) != _plain(name, new[name])
        ]


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Attributes:
        asked: what was asked for.
        data: what the images are of, in words.
        count: how many inputs there are, those of other shares included.
        inputs_sha256: a digest of their list.
        at: the layers that were chosen automatically, where that is one; explained by name from then on.
        batch: how many images run at a time.
        classes: how many the model has.
        class_names: of all of them; None if they are not known.
        facts: what to know about each method: paper, rectified, class_specific.
        provenance: how maps come about, as an explanation has it.
        created: when the run began.
        optimised: the precision of the optimised copy of the model that is explained on; empty for the model itself.
        reading: what is spared when photos are read, see `camscope.images.read_quickly`.
        optimised_said: why, and how near it all is to the plain way, in sentences.
    """

    asked: Asked
    data: tuple[str, ...]
    count: int
    inputs_sha256: str
    at: tuple[str, ...] | None
    batch: int
    classes: int
    class_names: tuple[str, ...] | None
    facts: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]
    created: str
    optimised: Precision = ""
    reading: Quick = ""
    optimised_said: str = ""

    @property
    def shards(self) -> int:
        """How many shards the run has, those of other shares included."""
        return -(-self.count // self.asked.shard_size)

    def length(self, shard: int) -> int:
        """How many inputs a shard has.

        Args:
            shard: its number.
        """
        size = self.asked.shard_size
        return min(size, self.count - shard * size)

    @property
    def identity(self) -> str:
        """A digest of all that rows depend on: shards of plans that share it belong together."""
        same = dataclasses.asdict(self)
        same["asked"]["share"] = ""
        if not self.asked.trust:  # then rows are as they were before it could be asked for
            del same["asked"]["trust"]
        for name in ("versions", "framework"):
            same["asked"][name] = _plain(name, same["asked"][name])
        for name in (
            "data",
            "batch",
            "created",
            "optimised",
            "reading",
            "optimised_said",
        ):  # the copy and the way of reading are in the provenance
            del same[name]
        same["provenance"] = {k: v for k, v in same["provenance"].items() if k not in ("device", "framework")}
        return hashlib.sha256(json.dumps(finite(same), sort_keys=True).encode()).hexdigest()[:32]

    def write(self, folder: StorePath) -> None:
        """Write it into the folder of a run, whole or not at all.

        Raises:
            InputError: if it cannot be written.
        """
        document = {"format": FORMAT, **dataclasses.asdict(self)}
        text = json.dumps(finite(document), ensure_ascii=False, indent=1, allow_nan=False)
        try:
            with written_whole(folder / PLAN) as aside:
                aside.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{folder / PLAN} cannot be written: {error.strerror or error}.") from error

    @classmethod
    def read(cls, folder: StorePath) -> Self:
        """Read the plan of a run.

        Args:
            folder: of the run.

        Raises:
            InputError: if there is none, or it is of another version of the store, or damaged.
        """
        file = folder / PLAN
        try:
            document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            version = document.pop("format")
            if version == FORMAT:
                return cls(**_plan(document))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(why_no_run(folder)) from None
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file} is damaged, or no plan of a run ({error}). The Parquet files beside it open with pandas, "
                f"Polars and DuckDB all the same; {keyword('restart', True)} takes them away, and the run begins anew."
            ) from error
        older = "an older" if isinstance(version, int) and version < FORMAT else "a newer"
        raise InputError(
            f"'{folder}' was written by {older} camscope: its store is of version {version}, this one reads {FORMAT}. "
            "Its Parquet files open with pandas, Polars and DuckDB all the same; or run it anew into another folder."
        )


def check_unchanged(old: Asked, new: Asked, folder: StorePath) -> None:
    """Refuse to go on with a run where anything has changed that its rows depend on.

    Args:
        old: what the run was begun with.
        new: what is asked for now.
        folder: of the run.

    Raises:
        InputError: naming what has changed.
    """
    changes = old.changes(new)
    if changes:
        raise InputError(
            f"'{folder}' is a run of another plan, and rows of two plans do not go together. Changed: "
            f"{'; '.join(changes)}. {keyword('into', like='FOLDER')} makes the new run in another folder; "
            f"{keyword('restart', True)} takes away what is there."
        )


def why_no_run(folder: StorePath) -> str:
    """Why a path is no run, in a sentence that says what would be one."""
    if isinstance(folder, BucketPath):
        return f"There is no run '{folder}': there is no {PLAN} below it."
    if not folder.exists():
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        runs = [one.name for one in beside if (one / PLAN).is_file()]
        near = nearest(folder.name, runs)
        return f"There is no run '{folder}'.{near or f' camscope run DATA --out {folder} makes one.'}"
    if not folder.is_dir():
        return f"'{folder}' is a file. Give the folder of a run, in which {PLAN} lies."
    inside = sorted(str(one.parent) for one in folder.glob(f"*/{PLAN}"))
    hint = f" In it are runs: {', '.join(inside[:4])}{' …' if len(inside) > 4 else ''}." if inside else ""
    return f"'{folder}' is no run: it has no {PLAN}.{hint or ' camscope run DATA --out RUN makes one.'}"


def _plan(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of a plan from its JSON."""
    asked = document.pop("asked")
    for name in ("methods", "layers", "targets"):
        asked[name] = None if asked[name] is None else tuple(asked[name])
    for name in ("data", "at", "class_names"):
        document[name] = None if document[name] is None else tuple(document[name])
    return {"asked": Asked(**asked), **document}


def _plain(name: str, value: Any) -> Any:
    """A value without what may differ between machines: 2.15.0+cpu is the version 2.15.0."""
    if name == "versions":
        return {package: str(one).partition("+")[0] for package, one in value.items()}
    return str(value).partition("+")[0] if name == "framework" else value


def _difference(name: str, old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old, new = _plain(name, old), _plain(name, new)
        names = [one for one in {**old, **new} if old.get(one) != new.get(one)]
        return ", ".join(f"{one} {_short(old.get(one))} → {_short(new.get(one))}" for one in names)
    return f"{_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    if value is None or value == []:
        return "the default"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…{text[-12:]}"
