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
    full_disk,
    in_process,
    loader_killed,
    on_disk,
    read_only_disk,
    refused,
    signal_to_all,
    two_at_once,
)
from svitt_ego.fault_suite.damages import MODULE, SHARD, WEIGHTS
from svitt_ego.fault_suite.lab import (
    INTERVAL,
    Lab,
)
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
