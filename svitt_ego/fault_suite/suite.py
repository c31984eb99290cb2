"""The list of faults: what is done, what is expected, what was observed."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from svitt_ego.fault_suite import damages
from svitt_ego.fault_suite.checks import (
    KILLED_CODES,
    Bases,
    Check,
    Found,
    at_other_ranks,
    in_process,
    on_disk,
    refused,
)
from svitt_ego.fault_suite.damages import (
    MODULE,
    SHARD,
    WEIGHTS,
    change,
    cut,
    delete,
    flip,
    of_checkpoint,
    of_run,
)
from svitt_ego.fault_suite.disk_checks import full_disk, read_only_disk
from svitt_ego.fault_suite.lab import INTERVAL, Lab
from svitt_ego.fault_suite.process_checks import loader_killed, signal_to_all, two_at_once
from svitt_ego.training.interruption import INTERRUPTED, KILLED_BY_CTRL_C
from svitt_ego.training.manifest import MANIFEST


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
class Fault:
    name: str
    expected: str
    check: Check


KILL = f"all ranks end at once; resume loses at most {INTERVAL} steps; same losses"
PASS_OVER = "a message; the checkpoint before is used; same losses"
USE_NEWEST = "the newest whole checkpoint is used; same losses"
NOTHING = "nothing is lost; same losses"
SAY_WHY = "exit code 2, one line, nothing is changed"
PREEMPT = f"exit code {INTERRUPTED} with a checkpoint of that step; nothing is lost; same losses"
GO_ON = "training goes on; its last checkpoint says so: exit code 2; resume where there is room"
SAME = "converted; same losses to 1e-4"


def killed(name: str, place: str, rank: int, most_lost: int = INTERVAL, *more: str) -> Fault:
    """`kill -9` of a rank, of all where it is -1, in the launch's last step or its checkpoint."""
    expected = KILL if most_lost else NOTHING
    check = in_process("kill", place, rank, KILLED_CODES, most_lost=most_lost, more=more)
    return Fault(name, expected, check)


def asked(name: str, signal: str, rank: int) -> Fault:
    check = in_process(signal, "in_forward", rank, (INTERRUPTED,), step=5, most_lost=0)
    return Fault(name, PREEMPT, check)


def damaged(name: str, damage: damages.Damage, passed_over: bool = True) -> Fault:
    """Found in step 6, where the newest checkpoint is of step 4: without it two steps more go."""
    if passed_over:
        return Fault(name, PASS_OVER, on_disk(damage, 1 + INTERVAL))
    return Fault(name, USE_NEWEST, on_disk(damage, 1))


def moved(before: tuple[int, int], after: tuple[int, int]) -> Fault:
    """Of (ranks, ZeRO stage)."""
    stages = f"stage {before[1]}" + (f" -> {after[1]}" if before[1] != after[1] else "")
    name = f"{before[0]} -> {after[0]} ranks, {stages}"
    return Fault(name, SAME, at_other_ranks(before, after))


IN_A_STEP = (
    killed("kill rank 1 in forward", "in_forward", 1),
    killed("kill rank 0 in backward", "in_backward", 0),
    killed("kill rank 1 in optimiser", "in_optimizer", 1),
    killed("kill all ranks in forward", "in_forward", -1),
    Fault("error in one rank", KILL, in_process("error", "in_forward", 1, (1,))),
    Fault("kill a loader process", KILL, loader_killed),
)
IN_SAVING = (
    killed("kill before the shards", "before_shards", 0),
    killed("kill rank 1 in its shard", "in_shard", 1),
    killed("kill between ranks' shards", "after_own_shards", 0),
    killed("kill before the manifest", "before_manifest", 0),
    killed("kill after the manifest", "after_manifest", 0),
    killed("kill before the pointer", "after_rename", 0, 0),
    killed("kill after the pointer", "after_pointer", 0, 0),
    killed("kill while an old one goes", "in_removal", 0, 0, "training.keep_checkpoints=2"),
)
SIGNALS = (
    asked("SIGTERM to one rank", "sigterm", 1),
    asked("SIGUSR1 to every rank", "sigusr1", -1),
    asked("Ctrl-C", "ctrl_c", -1),
    Fault("SIGTERM to launcher and all", NOTHING, signal_to_all),
    Fault(
        "Ctrl-C twice",
        f"exit code {KILLED_BY_CTRL_C} at once; resume loses at most {INTERVAL} steps; same losses",
        in_process("ctrl_c_twice", "in_forward", -1, (KILLED_BY_CTRL_C,), step=5),
    ),
)
IN_A_CHECKPOINT = (
    *(
        damaged(f"{word} the {kind}", of_checkpoint(pattern, damage))
        for kind, pattern in (
            ("shard", SHARD),
            ("module", MODULE),
            ("weights", WEIGHTS),
            ("manifest", MANIFEST),
        )
        for word, damage in (("delete", delete), ("cut", cut), ("flip a bit of", flip))
    ),
    damaged("delete the checkpoint", damages.delete_checkpoint),
    damaged("a torn later checkpoint", damages.leave_torn_checkpoint, passed_over=False),
    Fault("damage every checkpoint", SAY_WHY, refused(damages.every_checkpoint, "is whole")),
    damaged("garbage in the pointer", damages.write_pointer(b"\xff\0\xfe"), passed_over=False),
    damaged("pointer to nowhere", damages.write_pointer(b"step-999999\n"), passed_over=False),
    damaged("delete the pointer", of_run("checkpoints/latest", delete), passed_over=False),
)
IN_A_RUN = (
    damaged("tear the last record", of_run("records.jsonl", damages.tear_last_line), False),
    Fault(
        "garbage in the records",
        SAY_WHY,
        refused(of_run("records.jsonl", damages.garble_line_2), "line 2"),
    ),
    damaged("tear the last launch", of_run("launches.jsonl", damages.tear_last_line), False),
    Fault("cut recipe.yaml", SAY_WHY, refused(of_run("recipe.yaml", cut), "recipe")),
    Fault("delete recipe.yaml", SAY_WHY, refused(of_run("recipe.yaml", delete), "recipe.yaml")),
    Fault(
        "flip a bit of recipe.yaml",
        SAY_WHY,
        refused(of_run("recipe.yaml", change(b"learning_rate:", b"learning_sate:")), "recipe.yaml"),
    ),
    damaged("delete deepspeed.json", of_run("deepspeed.json", delete), passed_over=False),
    Fault(
        "another recipe",
        SAY_WHY,
        refused(lambda run: None, "learning_rate", ("optimisation.learning_rate=0.5",)),
    ),
)
AROUND = (
    damaged("dates reversed", damages.reverse_dates, passed_over=False),
    Fault(
        "clock jumps back a year",
        NOTHING,
        in_process("kill", "clock_jump", -1, (0,), step=5, most_lost=0),
    ),
    Fault("two runs on one directory", "the second: exit code 2; the first ends well", two_at_once),
    Fault("too little room", GO_ON, full_disk(None)),
    Fault("disk full while writing", GO_ON, full_disk("kill:unchecked_space:9:0")),
    Fault(
        "read-only directory", "exit code 2, one line; same losses where writable", read_only_disk
    ),
)
OTHER_RANKS = (
    *(moved((2, stage), (1, stage)) for stage in (1, 2)),
    *(moved((1, stage), (2, stage)) for stage in (1, 2)),
    *(moved((2, stage), (3, stage)) for stage in (1, 2)),
    moved((2, 2), (1, 1)),
    moved((1, 1), (3, 2)),
)
FAULTS = (
    *IN_A_STEP,
    *IN_SAVING,
    *SIGNALS,
    *IN_A_CHECKPOINT,
    *IN_A_RUN,
    *AROUND,
    *OTHER_RANKS,
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
