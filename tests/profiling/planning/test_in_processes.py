import os
import signal

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.profiling.planning.in_processes import in_processes


def test_one_after_the_other_without_other_processes():
    assert list(in_processes(lambda x: (x, os.getpid()), "ab", 1)) == [
        (0, ("a", os.getpid())),
        (1, ("b", os.getpid())),
    ]
    assert list(in_processes(abs, [], 2)) == []


def test_several_at_a_time():
    assert sorted(in_processes(abs, [-3, 4, -5], 2)) == [(0, 3), (1, 4), (2, 5)]


def test_a_task_that_fails_fails_here():
    with pytest.raises(ValueError, match="math domain|nonnegative"):
        list(in_processes(__import__("math").sqrt, [1.0, -1.0], 2))


def test_a_killed_process_is_one_line():
    with pytest.raises(ConfigError, match="died, as when memory runs out: --processes 1"):
        list(in_processes(signal.raise_signal, [signal.SIGKILL, signal.SIGKILL], 2))
