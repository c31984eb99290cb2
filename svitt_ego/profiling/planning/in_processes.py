"""Independent plans, several at a time: each computes on one core and none needs another."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from svitt_ego.command_line import quiet_libraries
from svitt_ego.config import ConfigError

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], processes: int | None = None
) -> Iterator[tuple[int, Result]]:
    """Number of a task and its result, as they get done.

    Args:
        function: of a module, so that another process can import it; so must tasks and results
            be such as can be pickled.
        processes: at a time; None: one for each core that this process may use. 1: no others.

    Raises:
        ConfigError: a process was killed.
    """
    processes = min(processes or len(os.sched_getaffinity(0)), len(tasks))
    if processes <= 1:
        yield from enumerate(map(function, tasks))
        return
    # not forked: DeepSpeed and PyTorch hold threads and locks
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=quiet_libraries)
    try:
        numbers = {pool.submit(function, task): number for number, task in enumerate(tasks)}
        for done in as_completed(numbers):
            yield numbers[done], done.result()
    except BrokenProcessPool:
        mend = "--processes 1 plans one at a time"
        raise ConfigError(f"a planning process died, as when memory runs out: {mend}") from None
    finally:
        pool.shutdown(cancel_futures=True)
