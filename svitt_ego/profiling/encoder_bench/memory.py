"""Memory of one training step, tracked on real tensors or predicted on fake ones.

Fake tensors have a size but no content, so a prediction computes nothing: it needs neither the
memory nor the instructions it is about.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from svitt_ego.config.schema import Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.compare import TrainStep
from svitt_ego.profiling.encoder_bench.shared_steps import shared_steps
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
    """Of the recipe's step with weights and optimiser states of `dtype`, as a CPU would hold it.

    Texts, masks and tags are real, since the step looks into them: which tokens it masks, which
    clips have a negative. Clips and weights are fake.
    """
    batch = random_batch(recipe, recipe.seed)
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    batch = replace(batch, video=fake.from_tensor(batch.video))
    with torch.device("meta"):
        model = SViTTEgo(recipe.model).to(dtype)
    with fake:
        (step,) = shared_steps(model.to_empty(device="cpu"), [recipe], batch)
    with _FakeValues():
        return tracked_peaks(step, 1)


class _FakeValues(TorchDispatchMode):
    """The two things a step does with fake tensors that ask for content."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return float("nan")  # the loss, for the caller to look at
        if func is torch.ops.aten.index.Tensor:
            # A fake tensor cannot be indexed by a mask, even a real one, but by its places.
            tensor, indices = args
            args = (tensor, [_places(index) for index in indices])
        return func(*args, **(kwargs or {}))


def _places(index: Tensor | None) -> Tensor | None:
    if index is None or index.dtype != torch.bool or index.dim() != 1:
        return index
    return index.nonzero().flatten()
