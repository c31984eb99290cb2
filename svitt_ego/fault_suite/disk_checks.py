"""Faults of the disk itself, on a small one in memory."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svitt_ego.command_line import BAD_INPUT
from svitt_ego.fault_suite.checks import Bases, Check, Found, resume_and_compare
from svitt_ego.fault_suite.lab import INTERVAL, LAST_STEP, last_recorded_step
from svitt_ego.training.run_directory import RunDirectory

_NO_MOUNT = Found("not run: mounting a tmpfs needs root", None)


def full_disk(injection: str | None) -> Check:
    """A disk with room for half a checkpoint more; then resume where there is room."""

    def check(bases: Bases) -> Found:
        run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - INTERVAL)
        size = _bytes(run.path) + _bytes(run.checkpoints / run.tags()[0]) // 2
        with _small_disk(bases.lab.folder / "disk", size) as disk:
            if disk is None:
                return _NO_MOUNT
            small = RunDirectory(disk / "run")
            shutil.copytree(run.path, small.path)
            # a checkpoint at 5, which does not fit and must not stop the run, and the last at 6
            more = ("training.checkpoint_every_steps=5",)
            if injection:
                ended = bases.lab.launch(small, injection, more=more)
            else:
                ended = bases.lab.go_on(small, more=more)
            whole = small.tags() == run.tags()
            shutil.rmtree(run.path)
            shutil.copytree(small.path, run.path)
        reached = last_recorded_step(run)
        ok = ended.code == BAD_INPUT and whole and reached == LAST_STEP
        ok = ok and "training goes on" in ended.said
        error = ended.error_line().replace(f"{disk}/run/", "")
        before = f"{ended.how()} at step {reached}: {error[:170]}; "
        return resume_and_compare(bases, run, INTERVAL, before, ok)

    return check


def read_only_disk(bases: Bases) -> Found:
    run = bases.lab.copy_as_if_killed_after(bases.whole, LAST_STEP - 1)
    with _small_disk(bases.lab.folder / "disk", 2 * _bytes(run.path)) as disk:
        if disk is None:
            return _NO_MOUNT
        shutil.copytree(run.path, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = bases.lab.go_on(RunDirectory(disk / "run"))
    ok = ended.code == BAD_INPUT and "is not a folder to write to" in ended.error_line()
    before = f"{ended.how()}: {ended.error_line().replace(str(disk), 'DISK')[:90]}; "
    return resume_and_compare(bases, run, INTERVAL, before, ok)


@contextmanager
def _small_disk(place: Path, size_bytes: int) -> Iterator[Path | None]:
    """None where this machine does not let us mount one."""
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


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
