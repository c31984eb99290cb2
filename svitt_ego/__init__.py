"""svitt-ego: memory-optimised training of SViTT-Ego, a sparse video-text transformer."""

import os

__version__ = "0.1.0"

# GNU's OpenMP, with which PyTorch computes on Linux, reads this once, when PyTorch is imported. Its
# threads wait for each other by spinning, by default 300,000 times, and on whoever then needs the
# core, a loader worker or another program, they wait in vain: on two cores steps took 1.3 to 10
# times as long. Now they sleep after some ten microseconds.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
