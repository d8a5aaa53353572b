"""The rows of a run: chosen, sorted and paged by SQL, and made into maps, tables, explanations and sheets."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float, Int64

from camscope.errors import InputError, MissingPackageError, nearest
from camscope.results import Explanation
from camscope.runs.comparing_runs import Comparison, compared
from camscope.runs.contact_sheet import contact_sheet
from camscope.runs.explaining_again import explanation_of
from camscope.runs.mean_maps import MeanMap, MeanMaps, raw_map, shown_maps
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.querying import ROWS, WITH_MAPS, OpenStore
from camscope.runs.reading_page import Page, rows_by_key
from camscope.runs.row_columns import FAILED, HEAVY, SIMILARITY, schema
from camscope.runs.sorted_keys import Order
from camscope.runs.store_paths import StorePath, store_path

if TYPE_CHECKING:
    from PIL import Image

_PAGE = 1_000
"""Up to so many rows are read from the shards that these are in alone."""

_MOST_SORTED = 20_000_000
"""Of so many rows at most the order is kept: of more it is found anew for each page, and only as far as that."""


@dataclass(frozen=True, eq=False)
class RunRows:
    """Rows of a run. Immutable: each question gives others.

        rows = camscope.runs.open("run")
        rows.where("label != top1").sort("ring_share", descending=True).limit(50).to_pandas()

    Attributes:
        opened: the store.
        chosen: which rows, as SQL.
        order: what they are sorted by.
        most: how many at most; None for all.
        skipped: how many of them are left out at the begin.
    """

    opened: OpenStore
    chosen: str = f"SELECT * FROM {ROWS}"
    order: tuple[Order, ...] = ()
    most: int | None = None
    skipped: int = 0

    @property
    def path(self) -> StorePath:
        """The folder of the run, or its URL."""
        return self.opened.store.path

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.opened.columns

    @property
    def is_complete(self) -> bool:
        """Whether all shards of the run are there; rows can be asked for before."""
        return self.opened.is_complete()

    @property
    def failures(self) -> Self:
        """The rows of images that could not be explained; `reason` says why."""
        return self.where(f"status = '{FAILED}'")

    def __len__(self) -> int:
        whole = self.most is None and not self.skipped
        known = self.opened.sorted_keys.count(self.chosen, self.order) if whole else None
        if known is not None:
            return known
        rows = self.chosen if whole else self._all()
        return int(self.opened.ask(f"SELECT count(*) AS n FROM ({rows})")["n"][0].as_py())

    def __repr__(self) -> str:
        plan, there = self.opened.plan, len(self.opened.files)
        part = "" if self.is_complete else f", {there} of {plan.shards} shards are there"
        return (
            f"{type(self).__name__}({len(self):,} rows of '{self.path}': {plan.asked.model}, "
            f"{', '.join(plan.asked.methods)}, {plan.count:,} images{part})"
        )

    # ------------------------------------------------------------------ which rows

    def where(self, condition: str) -> Self:
        """The rows for which a condition holds.

        Args:
            condition: SQL over the columns: `"label != top1"`, `"top1_probability < 0.5 AND ring_share > 0.6"`.

        Raises:
            InputError: if it is none; the message names the nearest column.
        """
        self.opened.check_words(condition)
        chosen = f"SELECT * FROM ({self._all()}) WHERE ({condition}\n)"
        return self._checked(dataclasses.replace(self, chosen=chosen))

    def sort(self, column: str, *, descending: bool = False) -> Self:
        """The rows in another order. Rows without a value come last.

        Args:
            column: or any SQL over columns.
            descending: whether the largest comes first.

        Raises:
            InputError: if there is no such column.
        """
        self.opened.check_words(column)
        sorted_rows = dataclasses.replace(
            self, chosen=self._all(), order=(Order(column, descending),), most=None, skipped=0
        )
        return self._checked(sorted_rows)

    def limit(self, count: int, *, offset: int = 0) -> Self:
        """Some of the rows: a page.

        Args:
            count: how many at most.
            offset: how many are left out before.

        Raises:
            InputError: if a number is negative.
        """
        if count < 0 or offset < 0:
            raise InputError(f"limit({count}, offset={offset}): expected numbers of rows, 0 or more.")
        chosen = self if self.most is None else dataclasses.replace(self, chosen=self._all())
        return dataclasses.replace(chosen, most=count, skipped=offset)

    def sample(self, count: int, *, seed: int = 0) -> Self:
        """Some rows by chance, the same for the same seed.

        Args:
            count: how many at most.
            seed: of the draw.

        Raises:
            InputError: if the count is negative.
        """
        drawn = dataclasses.replace(self, chosen=self._all(), order=(Order(f"hash(id, row, {int(seed)})"),))
        return dataclasses.replace(self, chosen=drawn.limit(count)._all(), order=(), most=None, skipped=0)

    def unusual(self, count: int = 3, *, by: str = "top1") -> Self:
        """Of each class the rows whose maps are least like its mean map, the least first.

        Args:
            count: how many of each.
            by: column, or SQL, whose values are the classes.

        Raises:
            InputError: if the run is not complete yet, or there is no such column.
        """
        self.opened.check_words(by)
        keys = (  # of the few columns that tell them: all of each row would have to be sorted too
            f"SELECT id, row FROM (SELECT id, row, {SIMILARITY}, ({by}\n) AS of_class FROM ({self._all()}) "
            f"WHERE {SIMILARITY} IS NOT NULL) "
            f"QUALIFY row_number() OVER (PARTITION BY of_class ORDER BY {SIMILARITY}, id, row) <= {int(count)}"
        )
        ranked = f"SELECT * FROM ({self._all()}) SEMI JOIN ({keys}) USING (id, row)"
        order = (Order(by), Order(SIMILARITY))
        return self._checked(dataclasses.replace(self, chosen=ranked, order=order, most=None, skipped=0))

    def page(
        self,
        where: str | None = None,
        sort: str | None = None,
        *,
        descending: bool = False,
        offset: int = 0,
        limit: int = 50,
        columns: Sequence[str] | None = None,
    ) -> Page:
        """A page of these rows. What order they have is found once, so that another page costs only its own rows.

        Args:
            where: see `where`.
            sort: see `sort`.
            descending: whether the largest comes first.
            offset: how many rows are left out before.
            limit: how many rows at most.
            columns: which; None for all but those that are large.

        Raises:
            InputError: if the condition or a column is none, or a number is negative.
        """
        rows = self if where is None else self.where(where)
        rows = rows if sort is None else rows.sort(sort, descending=descending)
        return Page(rows.limit(limit, offset=offset).to_arrow(columns=columns), len(rows), offset)

    # ------------------------------------------------------------------ what they hold

    def to_arrow(self, *, maps: bool = False, columns: Sequence[str] | None = None) -> Any:
        """The rows as an Arrow table.

        Args:
            maps: whether the raw maps come too, with what else is large.
            columns: these alone; None for all.

        Raises:
            InputError: if there is no such column.
        """
        if columns is None:
            return self._columns([name for name in self.columns if maps or name not in HEAVY])
        for name in columns:
            if name not in self.columns:
                raise InputError(f"There is no column {name!r}.{nearest(name, self.columns)}")
        return self._columns(list(dict.fromkeys(columns)))

    def to_pandas(self, *, maps: bool = False) -> Any:
        """The rows as a DataFrame.

        Args:
            maps: whether the raw maps come too, with what else is large.

        Raises:
            MissingPackageError: if pandas is not installed.
        """
        try:
            return self.to_arrow(maps=maps).to_pandas()
        except ImportError as error:
            raise MissingPackageError("to_pandas()", "pandas") from error

    def maps(self, ids: Sequence[int] | None = None) -> Float[np.ndarray, " row *space"]:
        """The raw signed maps of the rows, as precise as half precision is to each map's maximum.

        Args:
            ids: of images: theirs alone, in this order; None for all rows. Failed rows have none and are left out.

        Raises:
            InputError: if an image has no map among these rows, or maps have several shapes.
        """
        table = self._columns(["id", "map", "map_shape", "scale", "reason", "layer"], ids)
        shapes, scales = table["map_shape"].to_pylist(), table["scale"].to_pylist()
        numbers = table["id"].to_pylist()
        if ids is not None:
            self._check_there(ids, numbers, shapes, table["reason"].to_pylist())
        with_map = [row for row, shape in enumerate(shapes) if shape is not None]
        if len({tuple(shapes[row]) for row in with_map}) > 1:
            layers = sorted({str(table["layer"][row]) for row in with_map})
            raise InputError(
                f"The maps of these rows have several shapes, at {', '.join(layers)}. Choose some that have one: "
                f"""rows.where("layer = '{layers[0]}'").maps()."""
            )
        if not with_map:
            return np.zeros((0, 0, 0), np.float32)
        cells = table["map"]
        return np.stack([raw_map(cells[row], shapes[row], scales[row]) for row in with_map])

    def mean_maps(self, *, by: str = "label") -> Mapping[Any, MeanMap]:
        """The mean map of each class: of the maps as they are shown, each divided by its own maximum.

        Args:
            by: column, or SQL, whose values are the classes: `label`, `top1`, `target`, `label = top1`.

        Raises:
            InputError: if there is no such column, or the rows are of several methods or layers.
        """
        self.opened.check_words(by)
        self._check_one_kind("mean_maps")
        means = MeanMaps()
        own = f"SELECT id, row, ({by}\n) AS of_class, method, map_shape, scale FROM ({self._all()})"
        sql = f"SELECT of_class, method, map_shape, scale, map FROM ({own}) JOIN {ROWS}{WITH_MAPS} USING (id, row)"
        for batch in self.opened.stream(sql):
            classes = batch["of_class"].to_pylist()
            for row, shown in shown_maps(batch, self.opened.plan.facts):
                means.add(classes[row], shown)
        found = means.means()
        return {one: found[one] for one in sorted(found, key=lambda one: (one is None, str(one)))}

    def explanation(self, id: int) -> Explanation:
        """All maps of one image as an explanation; its photo is read again when it is looked at.

        Args:
            id: of the image.

        Raises:
            InputError: if there is no such image, or it could not be explained.
        """
        if isinstance(id, bool) or not isinstance(id, (int, np.integer)):
            raise InputError(f"{id!r} is no id: expected the number of an image, as in the column id.")
        rows = self.opened.ask(f"SELECT * FROM {self.opened.of_images([int(id)])} ORDER BY row").to_pylist()
        if not rows:
            raise InputError(f"There is no image {id} in '{self.path}': {self._range()}.")
        return explanation_of(rows, self.opened.plan)

    def compare(self, other: RunRows) -> Comparison:
        """The same images in two runs, or with two methods: how like their maps are, and who changed its mind.

            before.compare(after).changed.to_pandas()
            rows.where("method = 'gradcam'").compare(rows.where("method = 'layercam'")).summary()

        Args:
            other: rows of another run, or other ones of this.

        Raises:
            InputError: if an image has several maps of a target on one side, or no image is on both.
        """
        if not isinstance(other, RunRows):
            raise InputError(
                f"compare takes the rows of a run, not {type(other).__name__}: camscope.runs.open(path)."
            )
        for rows in (self, other):
            rows._check_one_kind("compare")
        return compared((self.opened, self._all()), (other.opened, other._all()))

    def sheet(self, *, columns: int | None = None, **style: Any) -> Image.Image:
        """A contact sheet: each row's heatmap on its photo, with what the model says; of the first that are legible.

        Args:
            columns: how many stand side by side; None chooses.
            style: options of `camscope.render.figure`: colormap, opacity, title …

        Raises:
            InputError: if there is nothing to show.
        """
        known = [one.by for one in self.order if one.by in self.columns]
        numbers = [name for name in known if name != "top1_probability"]  # which each has in any case
        keys = self._columns(list(dict.fromkeys(["id", "row", "label", "top1", *numbers])))
        return contact_sheet(self.explanation, keys.to_pylist(), columns, style, numbers)

    @property
    def question(self) -> str:
        """These rows as SQL, without what is large."""
        return self._all()

    # ------------------------------------------------------------------ inside

    def _all(self, columns: str = "*") -> str:
        """These rows, as SQL, without what is large."""
        limited = self.most is not None or self.skipped > 0
        if not self.order and not limited and columns == "*":
            return self.chosen
        text = f"SELECT {columns} FROM ({self.chosen}){self._ordered()}"
        if self.most is not None:
            text += f" LIMIT {self.most}"
        return text + (f" OFFSET {self.skipped}" if self.skipped else "")

    def _ordered(self) -> str:
        return f" ORDER BY {', '.join((*map(str, self.order), 'id', 'row'))}"

    def _columns(
        self, names: Sequence[str], ids: Sequence[int] | None = None, optional: Sequence[str] = ()
    ) -> Any:
        """Some columns of these rows, in their order; of some images in theirs."""
        names = [name for name in names if name not in optional or name in self.columns]
        if ids is None and self.most is not None and self.most <= _PAGE:
            return self._by_key(self._page_keys(), names)
        apart = [name for name in names if name in HEAVY]
        first = list(dict.fromkeys(["id", "row", *(name for name in names if name not in apart)]))
        if ids is None:
            table = self.opened.ask(self._all(_listed(first)))
        else:
            wanted = ", ".join(f"({place}, {int(one)})" for place, one in enumerate(ids)) or "(0, -1)"
            text = f"({self._all()}) AS own JOIN (VALUES {wanted}) AS asked(place, asked) ON id = asked"
            table = self.opened.ask(f"SELECT {_listed(first)} FROM {text} ORDER BY place, row")
        return self._beside(table, apart).select(names)

    def _page_keys(self) -> Int64[np.ndarray, " row"]:
        """The keys of the rows of a page."""
        assert self.most is not None
        keep = self.opened.count <= _MOST_SORTED
        return self.opened.sorted_keys.page(self.chosen, self.order, self.skipped, self.most, keep=keep)

    def _by_key(self, keys: Int64[np.ndarray, " row"], names: Sequence[str]) -> Any:
        """Some columns of a page: from the shards, which have but few rows each, while the index has all in one."""
        stored = [name for name in names if name != SIMILARITY]
        size = self.opened.plan.asked.shard_size
        columns = schema(trust=self.opened.plan.asked.trust)
        table = rows_by_key(self.opened.files, size, keys, stored, schema=columns)
        if SIMILARITY in names:
            table = table.append_column(SIMILARITY, self.opened.similarity_of(keys))
        return table.select(names)

    def _beside(self, table: Any, names: Sequence[str]) -> Any:
        """A table of rows with what is large of them, from the shards."""
        if not names:
            return table
        pa, _ = pyarrow_modules()
        keys = list(zip(table["id"].to_pylist(), table["row"].to_pylist(), strict=True))
        place = f"{ROWS}{WITH_MAPS}"
        if len(keys) <= _PAGE:
            place = self.opened.of_images([one for one, _ in keys])
        more = self.opened.ask(f"SELECT {_listed(dict.fromkeys(['id', 'row', *names]))} FROM {place}")
        places = zip(more["id"].to_pylist(), more["row"].to_pylist(), strict=True)
        at = {key: number for number, key in enumerate(places)}
        taken = more.take(pa.array([at[key] for key in keys], pa.int64()))
        for name in names:
            table = table.append_column(name, taken[name])
        return table

    def _checked(self, rows: Self) -> Self:
        """The rows, if DuckDB understands what they are."""
        self.opened.check(rows._all())
        return rows

    def _check_one_kind(self, call: str) -> None:
        found = self.opened.ask(
            f"SELECT DISTINCT method, layer FROM ({self._all()}) WHERE method IS NOT NULL ORDER BY ALL LIMIT 9"
        ).to_pylist()
        if len(found) > 1:
            told = ", ".join(f"{one['method']} at {one['layer']}" for one in found)
            name = "method" if len({one["method"] for one in found}) > 1 else "layer"
            raise InputError(
                f"These rows are of several methods or layers ({told}), whose maps are not to be mixed. Choose one: "
                f"""rows.where("{name} = '{found[0][name]}'").{call}(…)."""
            )
        if not found:
            raise InputError("There is no map among these rows.")

    def _check_there(
        self, ids: Sequence[int], numbers: Sequence[int], shapes: Sequence[Any], reasons: Sequence[str | None]
    ) -> None:
        for one in ids:
            own = [row for row, number in enumerate(numbers) if number == one]
            if not own:
                raise InputError(f"There is no image {one} among these rows: {self._range()}.")
            if all(shapes[row] is None for row in own):
                raise InputError(f"Image {one} has no map: {reasons[own[0]]}")

    def _range(self) -> str:
        return (
            f"the run has {self.opened.plan.count:,} images, with the ids 0 to {self.opened.plan.count - 1}"
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each row as a dictionary, without its map; they are read as they are taken."""
        names = [name for name in self.columns if name not in HEAVY]
        for batch in self.opened.stream(self._all(_listed(names))):
            yield from batch.to_pylist()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def open_run(path: str | os.PathLike[str]) -> RunRows:
    """Open the store of a run, also while it is being made.

        rows = camscope.runs.open("run")
        rows.where("label != top1").sort("ring_share", descending=True).limit(20).to_pandas()

    Args:
        path: the folder of the run, or its URL.

    Returns:
        All rows, in the order of the inputs.

    Raises:
        InputError: if it is no run, of another version, has no finished shard, or a file in it is torn or foreign.
        MissingExtraError: if DuckDB is not installed.
    """
    return RunRows(OpenStore.open(store_path(os.fspath(path))))
