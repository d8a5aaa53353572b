"""What requests say, as they are written in JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=2_000)]
Texts = Annotated[list[Text], Field(max_length=64)]
Words = Annotated[str, Field(min_length=1, max_length=100_000)]
Id = Annotated[str, Field(max_length=64)]
Page = Annotated[
    str | None,
    Field(
        max_length=200,
        description="Any text of the asker's own: a newer request with the same one takes the place of one that has "
        "not begun. null where every request counts.",
    ),
]
Side = Annotated[
    int, Field(ge=16, le=4096, description="Of pictures, in pixels along the longer side, at most.")
]


class Wish(BaseModel):
    """A body in which every word is known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Grid(Wish):
    """A small grid over the whole photo: 1 is inside, 0 outside."""

    shape: tuple[Annotated[int, Field(ge=1, le=1024)], Annotated[int, Field(ge=1, le=1024)]] = Field(
        description="Height and width."
    )
    values: Annotated[str, Field(max_length=2_000_000, description="uint8, 0 … 255, row by row, base64.")]


Rows = Annotated[list[Annotated[list[float], Field(max_length=1024)]], Field(max_length=1024)]
Mask = Grid | Rows


class AtBox(Wish):
    """A detection, by a box around it."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in pixels of the photo.")
    which: Text | int | None = Field(None, alias="class")


class AtInstance(Wish):
    """A detection, by its number: 0 is the most likely one."""

    instance: Annotated[int, Field(ge=0, le=10_000)]
    which: Text | int | None = Field(None, alias="class")


class AtRegion(Wish):
    """A class of a segmenter in a region; without one where the class is predicted."""

    region: Mask | None = None
    which: Text | int | None = Field(None, alias="class")


At = AtBox | AtInstance | AtRegion


class OfPhoto(Wish):
    """What is asked of a model, of a photo."""

    model: Id
    photo: Id
    page: Page = None


class Explain(OfPhoto):
    """Explain one photo: all methods, layers and targets from one forward."""

    methods: Texts = Field([], description="Names or compositions; none is the model's default.")
    layers: Texts = Field([], description="None is the automatic choice.")
    targets: Texts = Field([], description="As the command writes them; none is the top classes.")
    top: Annotated[int, Field(ge=1, le=20)] | None = Field(
        None,
        description="How many of the top classes, or of a detector's instances, where no target is named.",
    )
    at: At | None = Field(None, description="An instance or a region, besides the targets.")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    side: Side = 1024


class ExplainText(Wish):
    """Explain one text."""

    model: Id
    text: Words
    methods: Texts = Field([], description="None is the model's default.")
    layers: Texts = Field([], description="None is the automatic choice.")
    targets: Texts = Field([], description="None is the top classes.")
    top: Annotated[int, Field(ge=1, le=20)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    page: Page = None


class Cells(OfPhoto):
    """What each cell of a layer's grid says for every class; of one cell, where its row and column are named."""

    layer: Text | None = None
    row: Annotated[int, Field(ge=0, le=100_000)] | None = None
    column: Annotated[int, Field(ge=0, le=100_000)] | None = None
    top: Annotated[int, Field(ge=1, le=20)] = 5


class Scores(OfPhoto):
    """What the model says if a part of the photo is hidden, or nothing else is left."""

    mask: Mask
    fill: Literal["blur", "mean"] = "blur"
    mode: Literal["hide", "keep"] = "hide"
    targets: Texts = Field([], description="None is the top classes of the photo as it is.")
    top: Annotated[int, Field(ge=1, le=20)] = 5


class TextScores(Wish):
    """What the model says if words of a text are left out, or nothing else is left."""

    model: Id
    text: Words
    words: Annotated[list[Annotated[int, Field(ge=0, le=100_000)]], Field(max_length=100_000)] = Field(
        description="Their numbers, from 0."
    )
    mode: Literal["hide", "keep"] = "hide"
    targets: Texts = Field([], description="None is the top classes of the text as it is.")
    top: Annotated[int, Field(ge=1, le=20)] = 5
    page: Page = None


class TrustWish(Wish):
    """Whether a map can be trusted: of a photo, or of a text."""

    model: Id
    photo: Id | None = None
    text: Words | None = None
    method: Text | None = None
    layer: Text | None = None
    target: Text | None = None
    checks: Texts = ["fidelity"]
    probes: Annotated[int, Field(ge=1, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class RowsWish(Wish):
    """Rows of a run."""

    where: Annotated[
        str, Field(max_length=200_000, description="A condition in SQL; empty for all rows.")
    ] = ""
    images: Annotated[list[int], Field(max_length=200_000)] | None = Field(
        None, description="The numbers of some images, such as those in a lasso; null for all."
    )
    sort: Text = ""
    descending: bool = False
    offset: Annotated[int, Field(ge=0, le=2**62)] = 0
    limit: Annotated[int, Field(ge=0, le=1000)] = 100
    maps: bool = Field(False, description="Whether each row has its raw map, for small pictures.")
    columns: Annotated[list[Text], Field(max_length=100)] | None = Field(
        None, description="These columns alone, beside id and row; null for all. The fewer, the faster."
    )
    page: Page = None
