"""Memory of one training step, tracked on real tensors or predicted on fake ones.

Fake tensors have a size but no content, so a prediction computes nothing: it needs neither the
memory nor the instructions it is about.
"""

from dataclasses import dataclass

import torch

from svitt_ego.config.schema import Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.compare import TrainStep
from svitt_ego.profiling.encoder_bench.shared_steps import shared_steps
from svitt_ego.profiling.planning.fake_gpu import HOST, fake_machine, masked_share
from svitt_ego.training.rehearsal import random_batch


@dataclass(frozen=True)
class StepPeaks:
    """activation_bytes: most activations and temporaries at any one time; total_bytes: most of
    everything, with parameters, gradients, optimiser states, buffers and the batch."""

    activation_bytes: int
    total_bytes: int


def tracked_peaks(step: TrainStep, number: int) -> StepPeaks:
    """Run step `number`, tracked."""
    recorder = step.recorder()
    step.run(number, recorder)
    memory = recorder.memory
    assert memory is not None and memory.timeline is not None
    live = memory.timeline.live_bytes
    of_activations = live.get("activations", 0) + live.get("temporaries", 0)
    return StepPeaks(int(of_activations.max()), memory.peak.peak_bytes)


def predicted_peaks(recipe: Recipe, dtype: torch.dtype) -> StepPeaks:
    """Of the recipe's step with weights and optimiser states of `dtype`, as a CPU would hold it."""
    with torch.device("meta"):
        model = SViTTEgo(recipe.model).to(dtype)
    with fake_machine(HOST, 1, masked_share(recipe)):
        batch = random_batch(recipe, recipe.seed)
        (step,) = shared_steps(model.to_empty(device=HOST), [recipe], batch)
        return tracked_peaks(step, 1)
