"""What is done for one fault, and whether the run survives it.

A run does if no launch hangs, the one with the fault ends as expected, no more is lost than
expected, and all losses of the resumed run are those of the undisturbed one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from svitt_ego.command_line import BAD_INPUT
from svitt_ego.fault_suite.damages import Damage
from svitt_ego.fault_suite.ended import Ended
from svitt_ego.fault_suite.lab import (
    INTERVAL,
    LAST_STEP,
    RANKS,
    SAME_AT_ANY_RANKS,
    Lab,
    last_recorded_step,
    losses,
)
from svitt_ego.training.run_directory import RunDirectory

KILLED_CODES = (247, 1, -9)
"""The launcher passes a rank's -9 on as 247; a rank that lost its peer ends with 1."""


@dataclass(frozen=True)
class Found:
    """ok: None where this machine cannot do it."""

    observed: str
    ok: bool | None
    steps_lost: int | None = None


class Bases:
    """The undisturbed runs that all others are compared with."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.whole = lab.new_run()
        self.at_any_ranks = lab.new_run()
        must_end_well(lab.launch(self.whole))
        must_end_well(lab.go_on(self.at_any_ranks, more=SAME_AT_ANY_RANKS))


Check = Callable[[Bases], Found]


def must_end_well(ended: Ended) -> None:
    if ended.code != 0:
        raise RuntimeError(f"an undisturbed run ended with {ended.how()}: {ended.why()}")


def resume_and_compare(
    bases: Bases, run: RunDirectory, most_lost: int, before: str = "", ok: bool = True
) -> Found:
    """Resume to the end: how much was lost, and are all losses the undisturbed run's?"""
    reached = last_recorded_step(run)
    ended = bases.lab.go_on(run)
    if ended.code != 0:
        return Found(f"{before}resuming ended with {ended.how()}: {ended.why()}", False)
    lost = reached - run.launches()[-1]["first_step"] if "already at" not in ended.said else 0
    equal = losses(run) == losses(bases.whole)
    said = f"{before}resumed after step {reached - lost}; losses {'' if equal else 'not '}equal"
    return Found(said, ok and equal and 0 <= lost <= most_lost, lost)


def in_process(
    failure: str,
    place: str,
    rank: int,
    codes: tuple[int, ...],
    step: int = LAST_STEP,
    most_lost: int = INTERVAL,
    more: tuple[str, ...] = (),
) -> Check:
    """A rank fails in a launch that goes on from step 4; then resume."""

    def check(bases: Bases) -> Found:
        run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - INTERVAL)
        ended = bases.lab.launch(run, f"{failure}:{place}:{rank}:{step}", more=more)
        before = f"launch ended with {ended.how()} in {ended.seconds:.0f} s; "
        ok = ended.code in codes
        return resume_and_compare(bases, run, most_lost, before, ok)

    return check


def on_disk(damage: Damage, most_lost: int) -> Check:
    """Of a run that was killed in step 6; then resume."""

    def check(bases: Bases) -> Found:
        run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - 1)
        damage(run)
        return resume_and_compare(bases, run, most_lost)

    return check


def refused(damage: Damage, said: str, more: tuple[str, ...] = ()) -> Check:
    """One line says why the run cannot go on, and nothing of it is changed."""

    def check(bases: Bases) -> Found:
        run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - 1)
        damage(run)
        before = _contents(run)
        ended = bases.lab.go_on(run, more=more)
        unchanged = _contents(run) == before
        ok = ended.code == BAD_INPUT and said in ended.error_line() and unchanged
        return Found(f"{ended.how()}: {_without_paths(ended, run)[:160]}", ok, 0)

    return check


def at_other_ranks(before: tuple[int, int], after: tuple[int, int]) -> Check:
    """A run of so many ranks at this ZeRO stage to step 4, then of others.

    Args:
        before, after: (ranks, stage).
    """

    def check(bases: Bases) -> Found:
        run = bases.lab.new_run()
        for (ranks, stage), last_step in ((before, LAST_STEP - INTERVAL), (after, LAST_STEP)):
            micro = _global_batch(bases) // before[0]
            more = (*SAME_AT_ANY_RANKS, f"training.micro_batch_size={micro}")
            ended = bases.lab.go_on(run, ranks, stage=stage, last_step=last_step, more=more)
            if ended.code != 0:
                return Found(f"{ranks} ranks: {ended.how()}: {ended.why()}", False)
        converted = f"converting it for {after[0]} at stage {after[1]}" in ended.said
        pairs = zip(losses(run), losses(bases.at_any_ranks), strict=True)
        difference = max(abs(a - b) / b for a, b in pairs)
        ok = converted and difference < 1e-4
        return Found(f"losses differ by {difference:.1e} at most", ok, 0)

    return check


def _global_batch(bases: Bases) -> int:
    return RANKS * bases.at_any_ranks.read_recipe().training.micro_batch_size


def _contents(run: RunDirectory) -> dict[str, bytes]:
    files = (path for path in run.path.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): path.read_bytes() for path in files}


def _without_paths(ended: Ended, run: RunDirectory) -> str:
    return ended.error_line().replace(f"{run.path}/", "").replace(str(run.path), "the run")
