"""Memory of a training step: measured, compared, shown. Knows tensors and steps, but no model."""

from svitt_ego.profiling.recorder import MemoryRecorder

__all__ = ["MemoryRecorder"]
