"""Time, utilisation and memory of the training step: dense attention against sparse."""

from svitt_ego.profiling.encoder_bench.bench import Plan, bench, best_precision

__all__ = ["Plan", "bench", "best_precision"]
