"""How the learning rate moves over a run."""

import math


def learning_rate_share(
    step: int, warmup_steps: int, total_steps: int, final_share: float
) -> float:
    """Linear warm-up, then half a cosine: the factor of the peak learning rate at one step.

    The line starts from 0 one step before training, so that step 0 already learns, and reaches 1
    at step `warmup_steps`; from there the cosine falls to `final_share` at the last step,
    `total_steps - 1`, and stays. A pure function of the step, so resuming needs no state.

    Args:
        step: optimisation steps taken so far, from 0.
        warmup_steps: steps below the peak, at most `total_steps`.
        total_steps: steps of the whole run.
        final_share: share of the peak at the end, in [0, 1].
    """
    assert 0 <= warmup_steps <= total_steps and step >= 0, (step, warmup_steps, total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    falling_steps = max(total_steps - 1 - warmup_steps, 1)
    progress = min((step - warmup_steps) / falling_steps, 1.0)
    return final_share + (1 - final_share) * (1 + math.cos(math.pi * progress)) / 2
