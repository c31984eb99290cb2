"""The list of faults: what is done, what is expected, what was observed.

A fault is ok if no launch hangs, the launch after it ends as expected, no more is lost than
expected, and all losses of the run in the end are those of the undisturbed one.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from svitt_ego.fault_suite import damages
from svitt_ego.fault_suite.damages import MODULE, SHARD, WEIGHTS, Damage
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
from svitt_ego.training.interruption import INTERRUPTED, KILLED_BY_CTRL_C
from svitt_ego.training.manifest import MANIFEST
from svitt_ego.training.run_directory import RunDirectory

BAD_INPUT = 2
KILLED_CODES = (247, 1, -9)
"""The launcher passes a rank's -9 on as 247; a rank that lost its peer ends with 1."""


@dataclass(frozen=True)
class Outcome:
    """One line of the table. ok: None where this machine cannot do it; seconds: of all launches."""

    fault: str
    expected: str
    observed: str
    ok: bool | None
    steps_lost: int | None
    seconds: float


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


@dataclass(frozen=True)
class Fault:
    name: str
    expected: str
    check: Check


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


KILL = f"all ranks end at once; resume loses at most {INTERVAL} steps; same losses"
PASS_OVER = "a message; the checkpoint before is used; same losses"
NOTHING = "nothing is lost; same losses"
SAY_WHY = "exit code 2, one line, nothing is changed"
PREEMPT = f"exit code {INTERRUPTED} with a checkpoint of that step; nothing is lost; same losses"
GO_ON = "training goes on, its last checkpoint fails: exit code 2; resume where there is room"

FAULTS = (
    Fault("kill rank 1 in forward", KILL, in_process("kill", "in_forward", 1, KILLED_CODES)),
    Fault("kill rank 0 in backward", KILL, in_process("kill", "in_backward", 0, KILLED_CODES)),
    Fault("kill rank 1 in optimiser", KILL, in_process("kill", "in_optimizer", 1, KILLED_CODES)),
    Fault("error in one rank", KILL, in_process("error", "in_forward", 1, (1,))),
    Fault("kill a loader process", KILL, loader_killed),
    Fault("kill before the shards", KILL, in_process("kill", "before_shards", 0, KILLED_CODES)),
    Fault("kill rank 1 in its shard", KILL, in_process("kill", "in_shard", 1, KILLED_CODES)),
    Fault("kill between shards", KILL, in_process("kill", "after_own_shards", 0, KILLED_CODES)),
    Fault("kill before the manifest", KILL, in_process("kill", "before_manifest", 0, KILLED_CODES)),
    Fault("kill after the manifest", KILL, in_process("kill", "after_manifest", 0, KILLED_CODES)),
    Fault(
        "kill before the pointer",
        NOTHING,
        in_process("kill", "after_rename", 0, KILLED_CODES, most_lost=0),
    ),
    Fault(
        "kill after the pointer",
        NOTHING,
        in_process("kill", "after_pointer", 0, KILLED_CODES, most_lost=0),
    ),
    Fault(
        "kill while an old one goes",
        NOTHING,
        in_process(
            *("kill", "in_removal", 0, KILLED_CODES),
            most_lost=0,
            more=("training.keep_checkpoints=2",),
        ),
    ),
    Fault(
        "SIGTERM to one rank",
        PREEMPT,
        in_process("sigterm", "in_forward", 1, (INTERRUPTED,), step=5, most_lost=0),
    ),
    Fault(
        "SIGUSR1 to every rank",
        PREEMPT,
        in_process("sigusr1", "in_forward", -1, (INTERRUPTED,), step=5, most_lost=0),
    ),
    Fault("SIGTERM to launcher and all", NOTHING, signal_to_all),
    Fault(
        "Ctrl-C",
        PREEMPT,
        in_process("ctrl_c", "in_forward", -1, (INTERRUPTED,), step=5, most_lost=0),
    ),
    Fault(
        "Ctrl-C twice",
        KILL,
        in_process("ctrl_c_twice", "in_forward", -1, (KILLED_BY_CTRL_C,), step=5),
    ),
    Fault("delete a shard", PASS_OVER, on_disk(damages.delete(SHARD), 1 + INTERVAL)),
    Fault("cut a shard", PASS_OVER, on_disk(damages.truncate(SHARD), 1 + INTERVAL)),
    Fault("flip a bit of a shard", PASS_OVER, on_disk(damages.flip(SHARD), 1 + INTERVAL)),
    Fault("delete the module", PASS_OVER, on_disk(damages.delete(MODULE), 1 + INTERVAL)),
    Fault("flip a bit of the module", PASS_OVER, on_disk(damages.flip(MODULE), 1 + INTERVAL)),
    Fault("cut the weights", PASS_OVER, on_disk(damages.truncate(WEIGHTS), 1 + INTERVAL)),
    Fault("flip a bit of the weights", PASS_OVER, on_disk(damages.flip(WEIGHTS), 1 + INTERVAL)),
    Fault("delete the manifest", PASS_OVER, on_disk(damages.delete(MANIFEST), 1 + INTERVAL)),
    Fault("cut the manifest", PASS_OVER, on_disk(damages.truncate(MANIFEST), 1 + INTERVAL)),
    Fault("delete the checkpoint", PASS_OVER, on_disk(damages.delete_checkpoint, 1 + INTERVAL)),
    Fault("a torn later checkpoint", NOTHING, on_disk(damages.leave_torn_checkpoint, 1)),
    Fault("damage every checkpoint", SAY_WHY, refused(damages.every_checkpoint, "is whole")),
    Fault("garbage in the pointer", NOTHING, on_disk(damages.write_pointer(b"\xff\0\xfe"), 1)),
    Fault("pointer to nowhere", NOTHING, on_disk(damages.write_pointer(b"step-999999\n"), 1)),
    Fault("delete the pointer", NOTHING, on_disk(damages.delete_pointer, 1)),
    Fault("tear the last record", NOTHING, on_disk(damages.tear_records, 1)),
    Fault("garbage in the records", SAY_WHY, refused(damages.garble_records, "line 2")),
    Fault("cut recipe.yaml", SAY_WHY, refused(damages.truncate_recipe, "recipe.yaml")),
    Fault("delete recipe.yaml", SAY_WHY, refused(damages.delete_recipe, "recipe.yaml")),
    Fault(
        "another recipe",
        SAY_WHY,
        refused(lambda run: None, "learning_rate", ("optimisation.learning_rate=0.5",)),
    ),
    Fault("dates reversed", NOTHING, on_disk(damages.reverse_dates, 1)),
    Fault(
        "clock jumps back a year",
        NOTHING,
        in_process("kill", "clock_jump", -1, (0,), step=5, most_lost=0),
    ),
    Fault("two runs on one directory", "the second: exit code 2; the first ends well", two_at_once),
    Fault(
        "too little room", "training goes on; the last says so; then same losses", full_disk(None)
    ),
    Fault(
        "disk full while writing",
        "training goes on; the last says so; then same losses",
        full_disk("kill:unchecked_space:9:0"),
    ),
    Fault(
        "read-only directory", "exit code 2, one line; same losses where writable", read_only_disk
    ),
    Fault("2 -> 1 ranks, stage 2", "same losses to 1e-4", at_other_ranks(1, 2)),
    Fault("2 -> 3 ranks, stage 2", "same losses to 1e-4", at_other_ranks(3, 2)),
    Fault("2 -> 1 ranks, stage 2 -> 1", "same losses to 1e-4", at_other_ranks(1, 1)),
)


def run_suite(lab: Lab, faults: tuple[Fault, ...]) -> Iterator[Outcome]:
    bases = Bases(lab)
    for fault in faults:
        started = time.monotonic()
        try:
            found = fault.check(bases)
        except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
            found = Found(f"the check itself failed: {error}", False)
        seconds = round(time.monotonic() - started, 1)
        yield Outcome(fault.name, fault.expected, **asdict(found), seconds=seconds)


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
