"""Faults of what lies on the disk between two launches."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from svitt_ego.fault_suite.lab import newest
from svitt_ego.training.manifest import MANIFEST
from svitt_ego.training.run_directory import RunDirectory

Damage = Callable[[RunDirectory], None]

SHARD, MODULE, WEIGHTS = "*optim_states.pt", "mp_rank_*model_states.pt", "model.safetensors"


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """One bit, anywhere."""
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def of_checkpoint(pattern: str, damage: Callable[[Path], None]) -> Damage:
    """A file of the newest checkpoint; the last, where the pattern fits several."""
    return lambda run: damage(max(newest(run).glob(pattern)))


def of_run(name: str, damage: Callable[[Path], None]) -> Damage:
    """A file of the run directory itself."""
    return lambda run: damage(run.path / name)


def delete_checkpoint(run: RunDirectory) -> None:
    shutil.rmtree(newest(run))


def every_checkpoint(run: RunDirectory) -> None:
    for tag in run.tags():
        cut(max((run.checkpoints / tag).glob(SHARD)))


def write_pointer(text: bytes) -> Damage:
    return lambda run: run.pointer.write_bytes(text) and None


def change(old: bytes, new: bytes) -> Callable[[Path], None]:
    """What a flipped bit makes of a file that should hold `old` once."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        assert content.count(old) == 1, (path, old)
        path.write_bytes(content.replace(old, new))

    return damage


def tear_last_line(path: Path) -> None:
    """A line that was never finished."""
    with path.open("a") as file:
        file.write('{"step": 6, "lo')


def garble_line_2(path: Path) -> None:
    """Another file's bytes, as after a power cut on some file systems."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\0\xff\xfe\n", *lines[1:]]))


def reverse_dates(run: RunDirectory) -> None:
    """The newest checkpoint looks the oldest, and comes from the future."""
    for days, tag in enumerate(run.tags()):
        for path in [run.checkpoints / tag, *(run.checkpoints / tag).iterdir()]:
            os.utime(path, (4_000_000_000 + 86400 * days,) * 2)


def leave_torn_checkpoint(run: RunDirectory) -> None:
    """As other software writes: a later folder of the right name, without half of its files."""
    torn = run.checkpoints / "step-000005"
    shutil.copytree(newest(run), torn)
    max(torn.glob(SHARD)).unlink()
    (torn / MANIFEST).unlink()
    run.pointer.write_text("step-000005\n")
