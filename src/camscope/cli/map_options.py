"""Which maps a command is to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from camscope.cli.request import read_methods, read_words
from camscope.composition import Expression


@Parameter(name="*")
@dataclass(frozen=True)
class MapOptions:
    """Which maps are made: the options of every command that makes some, with their help.

    Attributes:
        method: One, or several separated by commas; `camscope methods` lists them. Default: gradcam (of a detector:
            hirescam). With parameters and compositions if you like: "scorecam(top=64)", "smooth(layercam, n=16)",
            "fuse(layercam, max)". More methods cost no further run of the model, unless they alter inputs.
        target: What to explain: a class index or name, top3, all; `not:tabby` or `-281` for evidence against;
            `probability:281` for its probability; `281 vs 282` or `281 vs similar` for what tells it apart; for
            `camscope run` also `labels`, what each image is labelled as. Of a detector: instance (the most likely one),
            `instance:1` (the next), `instance:dog`, or `instance:40,30,180,200` (a box, left, top, right, bottom in
            pixels of the photo). Say it again for several. Default: each photo's top class (of a detector: its most
            likely instance), or for `camscope explain` and `report` as many of them as --top says.
        layer: One, or several separated by commas; `camscope layers` lists them. Default: chosen automatically, by the
            first photos for all.
    """

    method: Annotated[list[str] | None, Parameter(negative="")] = None
    target: Annotated[list[str] | None, Parameter(negative="", allow_leading_hyphen=True)] = None
    layer: Annotated[list[str] | None, Parameter(negative="")] = None

    @property
    def methods(self) -> tuple[Expression, ...]:
        """The methods; none of them stands for the model's default.

        Raises:
            MethodError: for what is no method.
        """
        return read_methods(self.method)

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets as they were typed; none of them stands for the default."""
        return tuple(self.target or ())

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of layers; none of them stands for the automatic choice."""
        return tuple(read_words(self.layer))

    def changed(self) -> dict[str, list[str]]:
        """What was said, by the name of its option."""
        return {name: value for name, value in vars(self).items() if value is not None}


USUAL = MapOptions()
"""What is made where nothing is said."""
