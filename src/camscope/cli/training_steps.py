"""What `camscope train` does once its options are read: show the plan, then train, look for a rate, or nothing."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from camscope.cli.app import STOPPED
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.showing import show_notes
from camscope.cli.train_display import Live, show_plan, show_run
from camscope.errors import without_warnings
from camscope.render import save
from camscope.training.carrying_out import Run, carry_out
from camscope.training.finding_rate import rate_of
from camscope.training.run_options import RunOptions
from camscope.training.training_plan import Plan, plan_resuming, plan_training


def train_as_asked(
    data: str | None,
    options: RunOptions,
    asked: str,
    *,
    resume: bool,
    watch: bool | None,
    tensorboard: bool,
    as_json: bool,
) -> int:
    """Plan a training and do with it what is asked; gives the exit status.

    Args:
        data: what is trained on; None with `resume` takes what the run was begun with.
        options: of the training.
        asked: `train`, `find_lr` or `dry_run`.
        resume: whether a run is gone on with.
        watch: whether its maps are kept.
        tensorboard: whether TensorBoard gets the numbers.
        as_json: whether a program reads the output.

    Raises:
        CamscopeError: if something makes no sense, or goes wrong.
    """
    people = console(stderr=as_json)
    with quiet_stdout(as_json), without_warnings():
        with people.status("looking at the images …") if people.is_terminal else nullcontext():
            plan = plan_resuming(data, options) if resume else plan_training(data, options)
        show_plan(people, plan)
        if asked != "find_lr":
            people.print(f"→ {plan.folder.path}", markup=False, soft_wrap=True)
        if asked == "dry_run":
            people.print("Nothing was trained or written (--dry-run).")
            facts: dict[str, Any] | None = {"plan": plan.document, "summary": plan.summary.to_dict()}
        elif asked == "find_lr":
            facts = _find(people, plan, options)
        else:
            facts = _run(people, plan, options, watch=watch, tensorboard=tensorboard)
    if as_json and facts is not None:
        print_json(facts)
    return STOPPED if facts is None else 0


def _run(
    people: Console, plan: Plan, options: RunOptions, *, watch: bool | None, tensorboard: bool
) -> dict[str, Any] | None:
    """Train; what a program is told, or None if it was stopped."""
    live = Live(people, plan)
    try:
        with live.shown():
            run = carry_out(
                plan,
                reporter=live,
                watch=watch,
                workers=options.workers,
                device=options.device,
                tensorboard=tensorboard,
            )
    except KeyboardInterrupt:
        again = ["camscope", "train", "--resume", "--name", plan.folder.path.name]
        if str(options.out) != "runs":
            again += ["--out", str(options.out)]
        people.print("Stopped; a checkpoint was written. Go on with it:", style="bold")
        people.print(f"  {shlex.join(again)}", markup=False, soft_wrap=True)
        return None
    show_run(people, run)
    show_notes(people, [note for note in run.notes if note not in plan.notes])
    return _facts(run)


def _find(people: Console, plan: Plan, options: RunOptions) -> dict[str, Any]:
    """Look for a learning rate; what a program is told."""
    found = rate_of(plan, device=options.device)
    picture = Path(options.out) / f"{plan.folder.path.name}-lr.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    save(found.figure(), picture)
    people.print(f"Suggested: --lr {found.suggestion:.1e}", style="bold")
    people.print(f"wrote {picture}", markup=False, soft_wrap=True)
    rates, losses = found.rates.tolist(), found.losses.tolist()
    return {"suggestion": found.suggestion, "rates": rates, "losses": losses, "figure": str(picture)}


def _facts(run: Run) -> dict[str, Any]:
    """What a program is told."""
    return {
        "folder": str(run.folder),
        "best": run.best,
        "score": run.score,
        "history": list(run.history),
        "scores": run.judged.to_dict(run.classes),
        "notes": list(run.notes),
    }
