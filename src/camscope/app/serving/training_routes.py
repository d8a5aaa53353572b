"""Routes: trainings, for the page and for programs: the samples, and their maps step by step."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from camscope.app.followed_training import FollowedTraining
from camscope.app.serving.refusals import NotFoundError

router = APIRouter(prefix="/trainings")


def _training(request: Request, training: str) -> FollowedTraining:
    trainings = request.app.state.session.trainings
    if training not in trainings:
        known = ", ".join(trainings) or "none"
        raise NotFoundError(f"There is no training {training[:40]!r} here; there are: {known}.")
    found: FollowedTraining = trainings[training]
    return found


@router.get("/{training}")
def training_about(request: Request, training: str) -> dict[str, Any]:
    """A training as a whole: its samples, its steps and the numbers beside them."""
    return _training(request, training).about()


@router.get("/{training}/samples/{number}")
def training_sample(
    request: Request, training: str, number: Annotated[int, Path(ge=0, le=10**9)]
) -> dict[str, Any]:
    """The maps of one sample, step by step."""
    return _training(request, training).sample(number)
