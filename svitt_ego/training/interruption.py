"""Being asked to stop: finish the step, leave a checkpoint, say so by the exit code.

SIGTERM and SIGUSR1 (preemption) and a first Ctrl-C ask for the step's end, a second Ctrl-C ends the
process at once.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from svitt_ego.data.batch import Batch

INTERRUPTED = 75
"""Exit code of a run that stopped early with a checkpoint: EX_TEMPFAIL, "try again later"."""

KILLED_BY_CTRL_C = 128 + signal.SIGINT

_ASKS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interrupted(SystemExit):
    """A run that stopped early with a checkpoint; ends the process with `INTERRUPTED`."""

    def __init__(self) -> None:
        super().__init__(INTERRUPTED)


class StopRequest:
    """Listens for signals in one rank and agrees with the others on when to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """The first one received."""
        self._interrupts = 0
        for number in _ASKS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                os._exit(KILLED_BY_CTRL_C)
        if self.signal is None:
            self.signal = number
            # not through logging, whose lock the interrupted code may hold
            name = signal.Signals(number).name
            os.write(sys.stderr.fileno(), f"{name}: stopping at the step's end\n".encode())

    def agreed(self, device: torch.device) -> int | None:
        """The signal that any rank was sent, the same on all ranks, which must all call this."""
        number = torch.tensor(self.signal or 0, dtype=torch.int32, device=device)
        dist.all_reduce(number, op=dist.ReduceOp.MAX)
        return int(number) or None


@contextmanager
def deaf_workers(loader: DataLoader[Batch]) -> Iterator[Iterator[Batch]]:
    """The loader's batches, of workers that do not see the signals that ask to stop: these are sent
    to the whole group, and the step must still get its data.

    Python ends what children are left by SIGTERM when it exits, and waits. So these are ended here,
    whatever happens, or a rank that failed would not go and the others would wait for it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKS)
    try:
        batches = iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield batches
    finally:
        if hasattr(batches, "_shutdown_workers"):  # there are any
            batches._shutdown_workers()
        for child in multiprocessing.active_children():
            child.kill()
