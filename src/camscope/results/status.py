"""What can be said of a map before it is looked at."""

from __future__ import annotations

import enum


class Status(enum.StrEnum):
    """What can be said of a map before it is looked at."""

    OK = "ok"
    FLAT = "flat"
    """The same value everywhere: the heatmap is zero."""
    ALL_NEGATIVE = "all-negative"
    """No evidence for the target anywhere, only against it: the heatmap is zero."""
    NO_GRADIENT = "no-gradient"
    """The score does not depend on this layer for this image: the map is zero."""
    NON_FINITE = "non-finite"
    """The raw map holds NaN or infinity (the gradient overflowed): the heatmap is zero there."""

    @property
    def words(self) -> str:
        """For people; empty where all is well."""
        return _WORDS[self]


_WORDS = {
    Status.OK: "",
    Status.FLAT: "flat: the same value everywhere",
    Status.ALL_NEGATIVE: "all-negative: no evidence for it here",
    Status.NO_GRADIENT: "no-gradient: the score does not depend on this layer",
    Status.NON_FINITE: "non-finite: the map holds NaN or infinity",
}
