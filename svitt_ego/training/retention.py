"""Which checkpoints stay."""

from collections.abc import Mapping

from svitt_ego.config.base import BaseTraining


def kept_steps(metrics: Mapping[int, Mapping[str, float]], training: BaseTraining) -> set[int]:
    """Of the checkpoints of these steps: the last `keep_checkpoints`, those at multiples of
    `keep_every_steps`, and the `keep_best` with the lowest `best_metric`, of equals the earlier.

    Args:
        metrics: step -> what its manifest says; one without the metric is never the best.
    """
    steps = sorted(metrics)
    kept = set(steps[-training.keep_checkpoints :])
    if training.keep_every_steps:
        kept |= {step for step in steps if step % training.keep_every_steps == 0}
    judged = [step for step in steps if training.best_metric in metrics[step]]
    judged.sort(key=lambda step: metrics[step][training.best_metric])
    return kept | set(judged[: training.keep_best])
