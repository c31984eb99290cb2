"""What is done for one fault, and whether the run survives it.

A run does if no launch hangs, the one with the fault ends as expected, no more is lost than
expected, and all losses of the resumed run are those of the undisturbed one.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from svitt_ego.fault_suite.damages import Damage
from svitt_ego.fault_suite.lab import (
    INTERVAL,
    LAST_STEP,
    SAME_AT_ANY_RANKS,
    Ended,
    Lab,
    last_recorded_step,
    losses,
    wait_for,
)
from svitt_ego.training.run_directory import RunDirectory

BAD_INPUT = 2
KILLED_CODES = (247, 1, -9)
"""The launcher passes a rank's -9 on as 247; a rank that lost its peer ends with 1."""


@dataclass(frozen=True)
class Found:
    observed: str
    ok: bool | None
    steps_lost: int | None = None


class Bases:
    """The undisturbed runs that all others are compared with."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.whole = self._train()
        self.at_any_ranks = self._train(more=SAME_AT_ANY_RANKS)

    def _train(self, **named: object) -> RunDirectory:
        run = self.lab.new_run()
        ended = self.lab.launch(run, **named)
        if ended.code != 0:
            raise RuntimeError(f"the undisturbed run failed:\n{ended.said[-3000:]}")
        return run


Check = Callable[[Bases], Found]


def resume_and_compare(
    bases: Bases, run: RunDirectory, most_lost: int, before: str = "", ok: bool = True
) -> Found:
    """Resume to the end: how much was lost, and are all losses the undisturbed run's?"""
    reached = last_recorded_step(run)
    ended = bases.lab.launch(run)
    if ended.code != 0:
        return Found(f"{before}resuming ended with {_code(ended)}: {_last_line(ended)}", False)
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
        ended = bases.lab.launch(run, fault=f"{failure}:{place}:{rank}:{step}", more=more)
        before = f"launch ended with {_code(ended)} in {ended.seconds:.0f} s; "
        ok = ended.code in codes and ended.seconds < 60
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
        ended = bases.lab.launch(run, more=more)
        unchanged = _contents(run) == before
        ok = ended.code == BAD_INPUT and said in ended.error_line() and unchanged
        return Found(f"{_code(ended)}: {ended.error_line()[:160]}", ok, 0)

    return check


def at_other_ranks(ranks: int, stage: int) -> Check:
    def check(bases: Bases) -> Found:
        run = bases.lab.copy_as_if_killed_after(bases.at_any_ranks, LAST_STEP - INTERVAL)
        ended = bases.lab.launch(run, ranks=ranks, stage=stage, more=SAME_AT_ANY_RANKS)
        if ended.code != 0:
            return Found(f"{_code(ended)}: {_last_line(ended)}", False)
        pairs = zip(losses(run), losses(bases.at_any_ranks), strict=True)
        difference = max(abs(a - b) / b for a, b in pairs)
        return Found(f"losses differ by {difference:.1e} at most", difference < 1e-4, 0)

    return check


def signal_to_all(bases: Bases) -> Found:
    """As a scheduler sends it: to launcher, ranks and loaders alike."""
    run = bases.lab.copy_as_if_killed_after(bases.whole, 2)
    started = time.monotonic()
    process = bases.lab.start(run, fault="kill:slow_steps:9:0")
    _wait_for_step(run, 3)
    os.killpg(process.pid, signal.SIGTERM)
    ended = wait_for(process, started)
    ok = ended.code not in (0, None) and "SIGTERM: stopping at the step's end" in ended.said
    return resume_and_compare(bases, run, 0, f"launch ended with {_code(ended)}; ", ok)


def loader_killed(bases: Bases) -> Found:
    run = bases.lab.copy_as_if_killed_after(bases.whole, 2)
    started = time.monotonic()
    process = bases.lab.start(run, fault="kill:slow_steps:9:0")
    _wait_for_step(run, 3)
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,pgid=", "--sort=-start_time"], capture_output=True, text=True
    )
    table = [[int(word) for word in line.split()] for line in listed.stdout.splitlines()]
    mine = {pid: parent for pid, parent, group in table if group == process.pid}
    leaves = [pid for pid in mine if pid not in mine.values()]
    os.kill(max(leaves), signal.SIGKILL)
    ended = wait_for(process, started)
    before = f"launch ended with {_code(ended)}; "
    return resume_and_compare(bases, run, INTERVAL, before, ended.code not in (0, None))


def two_at_once(bases: Bases) -> Found:
    run = bases.lab.new_run()
    started = time.monotonic()
    first = bases.lab.start(run, fault="kill:slow_steps:9:0")
    _wait_for_step(run, 1)
    second = bases.lab.launch(run)
    ended = wait_for(first, started)
    equal = losses(run) == losses(bases.whole)
    ok = second.code == BAD_INPUT and "another training" in second.said and ended.code == 0
    said = f"second: {_code(second)}, {second.error_line()[:80]}…; first: {_code(ended)}"
    return Found(said, ok and equal, 0)


def full_disk(injection: str | None) -> Check:
    """A disk with room for half a checkpoint more; then resume where there is room."""

    def check(bases: Bases) -> Found:
        run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - INTERVAL)
        size = _bytes(run.path) + _bytes(run.checkpoints / run.tags()[0]) // 2
        with _small_disk(bases.lab.folder / "disk", size) as disk:
            if disk is None:
                return Found("not run: mounting a tmpfs needs root", None)
            small = RunDirectory(disk / "run")
            shutil.copytree(run.path, small.path)
            # a checkpoint at 5, which does not fit and must not stop the run, and the last at 6
            ended = bases.lab.launch(
                small, fault=injection, more=("training.checkpoint_every_steps=5",)
            )
            whole = small.tags() == run.tags()
            shutil.rmtree(run.path)
            shutil.copytree(small.path, run.path)
        reached = last_recorded_step(run)
        ok = ended.code == BAD_INPUT and whole and reached == LAST_STEP
        ok = ok and "training goes on" in ended.said
        before = f"{_code(ended)} at step {reached}: {ended.error_line()[:90]}…; "
        return resume_and_compare(bases, run, INTERVAL, before, ok)

    return check


def read_only_disk(bases: Bases) -> Found:
    run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - 1)
    with _small_disk(bases.lab.folder / "disk", 2 * _bytes(run.path)) as disk:
        if disk is None:
            return Found("not run: mounting a tmpfs needs root", None)
        shutil.copytree(run.path, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = bases.lab.launch(RunDirectory(disk / "run"))
    ok = ended.code == BAD_INPUT and "is not a folder to write to" in ended.error_line()
    before = f"{_code(ended)}: {ended.error_line()[:90]}…; "
    return resume_and_compare(bases, run, INTERVAL, before, ok)


def _wait_for_step(run: RunDirectory, step: int) -> None:
    until = time.monotonic() + 90
    while last_recorded_step(run) < step:
        if time.monotonic() > until:
            raise RuntimeError(f"{run.path}: did not reach step {step}")
        time.sleep(0.2)


@contextmanager
def _small_disk(place: Path, size_bytes: int) -> Iterator[Path | None]:
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def _contents(run: RunDirectory) -> dict[str, bytes]:
    files = (path for path in run.path.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): path.read_bytes() for path in files}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _code(ended: Ended) -> str:
    return "no end" if ended.code is None else f"code {ended.code}"


def _last_line(ended: Ended) -> str:
    lines = [line for line in ended.said.splitlines() if line.strip() and "[INFO]" not in line]
    return (ended.error_line() or (lines[-1] if lines else ""))[:160]
