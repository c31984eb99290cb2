"""Time, CPU time and memory of the data path."""

import multiprocessing
import re
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


def seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def cpu_seconds(function: Callable[[], Any]) -> float:
    """Of this process, all threads."""
    started = time.process_time()
    function()
    return time.process_time() - started


def private_bytes() -> int:
    """Memory that this process shares with no other: what another worker would add."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(int(kib) for kib in re.findall(r"Private_(?:Clean|Dirty): +(\d+)", rollup))


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_own_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """In a fresh interpreter, whose memory is the function's alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def private_bytes_of_workers(use: Callable[[int], Any], workers: int) -> int:
    """The largest private memory of forked workers, each after `use(worker)`, while all live."""
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(workers), context.Queue()

    def work(worker: int) -> None:
        use(worker)
        barrier.wait()
        queue.put(private_bytes())
        barrier.wait()

    started = [context.Process(target=work, args=(worker,)) for worker in range(workers)]
    for process in started:
        process.start()
    found = [queue.get() for _ in started]
    for process in started:
        process.join()
    return max(found)
