"""The C library's memory allocator, set for training on a CPU."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""`mallopt`'s, of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, for the next tensor.

    By default glibc maps every large tensor anew and hands it back afterwards, so that a training
    step touches tens of thousands of pages for the first time, each a call into the kernel. Does
    nothing where the C library has no `mallopt`.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
