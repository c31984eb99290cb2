"""Faults of what lies on the disk between two launches."""

import os
import random
import shutil
from collections.abc import Callable

from svitt_ego.fault_suite.lab import newest
from svitt_ego.training.manifest import MANIFEST
from svitt_ego.training.run_directory import RunDirectory

Damage = Callable[[RunDirectory], None]

SHARD, MODULE, WEIGHTS = "*optim_states.pt", "mp_rank_*model_states.pt", "model.safetensors"


def delete(pattern: str) -> Damage:
    """A file of the newest checkpoint."""
    return lambda run: next(newest(run).glob(pattern)).unlink()


def truncate(pattern: str) -> Damage:
    def damage(run: RunDirectory) -> None:
        path = next(newest(run).glob(pattern))
        os.truncate(path, path.stat().st_size // 2)

    return damage


def flip(pattern: str) -> Damage:
    """One bit, anywhere."""

    def damage(run: RunDirectory) -> None:
        path = next(newest(run).glob(pattern))
        content = bytearray(path.read_bytes())
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)

    return damage


def delete_checkpoint(run: RunDirectory) -> None:
    shutil.rmtree(newest(run))


def every_checkpoint(run: RunDirectory) -> None:
    for tag in run.tags():
        path = run.checkpoints / tag / MANIFEST
        path.write_text(path.read_text().replace('"bytes": ', '"bytes": 1'))


def write_pointer(text: bytes) -> Damage:
    return lambda run: run.pointer.write_bytes(text) and None


def delete_pointer(run: RunDirectory) -> None:
    run.pointer.unlink()


def tear_records(run: RunDirectory) -> None:
    """A last line that was never finished."""
    with run.records_file.open("a") as file:
        file.write('{"step": 6, "lo')


def garble_records(run: RunDirectory) -> None:
    lines = run.records_file.read_text().splitlines(keepends=True)
    run.records_file.write_text("".join([lines[0], "\0\0\0\n", *lines[1:]]))


def truncate_recipe(run: RunDirectory) -> None:
    os.truncate(run.recipe_file, 40)


def delete_recipe(run: RunDirectory) -> None:
    run.recipe_file.unlink()


def reverse_dates(run: RunDirectory) -> None:
    """The newest checkpoint looks the oldest, and comes from the future."""
    for days, tag in enumerate(run.tags()):
        for path in [run.checkpoints / tag, *(run.checkpoints / tag).iterdir()]:
            os.utime(path, (4_000_000_000 + 86400 * days,) * 2)


def leave_torn_checkpoint(run: RunDirectory) -> None:
    """As other software writes: a later folder of the right name, without half of its files."""
    torn = run.checkpoints / "step-000005"
    shutil.copytree(newest(run), torn)
    next(torn.glob(SHARD)).unlink()
    (torn / MANIFEST).unlink()
    run.pointer.write_text("step-000005\n")
