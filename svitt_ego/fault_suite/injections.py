"""Faults inside a training process: each replaces a function of the trainer by one that fails.

Nothing of this is in the trainer itself. `faulty_pretrain.py` applies one and then trains.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepspeed.runtime.engine import DeepSpeedEngine

from svitt_ego.training import checkpoint
from svitt_ego.training.checkpoint_files import CheckpointFiles
from svitt_ego.training.manifest import Manifest
from svitt_ego.training.task import PretrainingTask

SLOW_STEP_S = 1.0

Fail = Callable[[], None]
"""Ends or signals this process, if it is the rank meant."""


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, act: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        act(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, replaced)


def _after(owner: Any, name: str, act: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        act(*arguments, **named)
        return result

    setattr(owner, name, replaced)


def in_forward(fail: Fail, step: int) -> None:
    def act(task: Any, batch: Any, draws: Any, *rest: Any) -> None:
        if draws.step == step:
            fail()

    _before(PretrainingTask, "forward", act)


def in_backward(fail: Fail, step: int) -> None:
    original = PretrainingTask.forward

    def forward(task: Any, batch: Any, draws: Any, *rest: Any) -> Any:
        losses = original(task, batch, draws, *rest)
        if draws.step == step:
            losses.total.register_hook(lambda gradient: fail())
        return losses

    PretrainingTask.forward = forward  # type: ignore[method-assign]


def in_optimizer(fail: Fail, step: int) -> None:
    def act(engine: Any, *rest: Any) -> None:
        if engine.global_steps == step - 1:
            fail()

    _before(DeepSpeedEngine, "step", act)


def before_shards(fail: Fail, step: int) -> None:
    _before(DeepSpeedEngine, "save_checkpoint", lambda *_, **__: fail())


def in_shard(fail: Fail, step: int) -> None:
    """Half of a file is on the disk."""

    def act(writer: Any, path: Path) -> None:
        os.truncate(path, path.stat().st_size // 2)
        fail()

    _before(CheckpointFiles, "note", act)


def after_own_shards(fail: Fail, step: int) -> None:
    _after(DeepSpeedEngine, "_save_zero_checkpoint", lambda *_, **__: fail())


def before_manifest(fail: Fail, step: int) -> None:
    _before(Manifest, "write", lambda *_: fail())


def after_manifest(fail: Fail, step: int) -> None:
    _after(Manifest, "write", lambda *_: fail())


def after_rename(fail: Fail, step: int) -> None:
    _before(checkpoint, "write_atomically", lambda *_: fail())


def after_pointer(fail: Fail, step: int) -> None:
    _after(checkpoint, "write_atomically", lambda *_: fail())


def in_removal(fail: Fail, step: int) -> None:
    """An old checkpoint has lost its name and is still there."""
    _before(checkpoint, "rmtree", lambda path, **_: fail() if "removing" in path.name else None)


def unchecked_space(fail: Fail, step: int) -> None:
    """The disk looks large enough until it is full."""
    checkpoint.expected_bytes = lambda *_: 0


def slow_steps(fail: Fail, step: int) -> None:
    _before(PretrainingTask, "forward", lambda *_: time.sleep(SLOW_STEP_S))


def clock_jump(fail: Fail, step: int) -> None:
    """Back by a year in the middle of training."""
    real = time.time

    def act(task: Any, batch: Any, draws: Any, *rest: Any) -> None:
        if draws.step == step:
            time.time = lambda: real() - 365 * 86400

    _before(PretrainingTask, "forward", act)


def _signal_itself(number: int, times: int = 1) -> Fail:
    def send() -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    return send


def _raise() -> None:
    raise RuntimeError("out of memory, say")


FAILURES: dict[str, Fail] = {
    "kill": kill,
    "sigterm": _signal_itself(signal.SIGTERM),
    "sigusr1": _signal_itself(signal.SIGUSR1),
    "ctrl_c": _signal_itself(signal.SIGINT),
    "ctrl_c_twice": _signal_itself(signal.SIGINT, times=2),
    "error": _raise,
}

PLACES: dict[str, Callable[[Fail, int], None]] = {
    place.__name__: place
    for place in (
        in_forward,
        in_backward,
        in_optimizer,
        before_shards,
        in_shard,
        after_own_shards,
        before_manifest,
        after_manifest,
        after_rename,
        after_pointer,
        in_removal,
        unchecked_space,
        slow_steps,
        clock_jump,
    )
}


def inject(failure: str, place: str, rank: int, step: int) -> None:
    """`failure` at `place` on one rank, or on all where it is -1; `step` for places in a step."""
    is_meant = rank in (-1, int(os.environ.get("RANK", "0")))
    PLACES[place](FAILURES[failure] if is_meant else lambda: None, step)
