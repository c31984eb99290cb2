"""Jobs in worker processes that never outlive their parent."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from svitt_ego.config import ConfigError

Job = TypeVar("Job")
Result = TypeVar("Result")


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0))


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they are done. One worker, or one job, runs in this process.

    The first exception of a job ends the others and is raised here.

    Raises:
        ConfigError: a worker died.
    """
    if workers == 1 or len(jobs) <= 1:
        yield from ((job, function(job)) for job in jobs)
        return
    # Spawned, not forked: callers may hold threads and locks of torch or of video readers.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_exit_with_parent
    ) as pool:
        job_of = {pool.submit(function, job): job for job in jobs}
        try:
            for done in as_completed(job_of):
                yield job_of.pop(done), done.result()
        except BrokenProcessPool:
            raise ConfigError(
                "a worker process died, perhaps for want of memory: use fewer workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _exit_with_parent() -> None:
    """End this worker once its parent is gone: a killed parent would leave it waiting forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_exit() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()
