"""What a kind of training brings with it; engine, loop, records and checkpoints are the same.

Pre-training is `svitt_ego.training.pretraining`, grounding `svitt_ego.grounding.training`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from svitt_ego.config.base import BaseRecipe
from svitt_ego.data.batch import Fault
from svitt_ego.training.draws import Draws


class TrainingBatch(Protocol):
    """One micro-batch of one rank."""

    rows: Tensor
    """(samples,) int64: where they are in the data."""
    faults: tuple[Fault, ...]
    """What could not be read on the way to it."""

    def to(self, device: torch.device) -> Self: ...

    def tensors(self) -> list[Tensor]: ...

    def counts(self) -> dict[str, int]:
        """What is in it, by name in the record: `samples`, `clips` (read from disk), and more."""
        ...


class Task(nn.Module, ABC):
    """A model and its losses as one module, batch in, losses out."""

    losses: tuple[str, ...]
    """Names of what `forward` returns, the first `total`."""
    model: nn.Module

    @abstractmethod
    def forward(self, batch: Any, draws: Draws, of_step: Any) -> tuple[Tensor | None, ...]:
        """Scalars in the order of `losses`; None for one that is not computed.

        A tuple, because DeepSpeed looks for tensors in those that `forward` returns: when the
        backward pass reaches one, it tells ZeRO which micro-batch of the step this is. Of an object
        that it does not look into, offload at stage 2 would take in the gradients of one
        micro-batch alone.
        """

    def of_step(
        self, batches: Sequence[Any], draws: Sequence[Draws], device: torch.device
    ) -> Sequence[Any]:
        """For each micro-batch of this rank's step what it must know of the whole: the `of_step`
        of its `forward`."""
        return [None] * len(batches)

    def figures(self) -> dict[str, float]:
        """Of the model, for the record of a step. All ranks call it."""
        return {}

    def loss_names(self) -> tuple[str, ...]:
        """In the record of a step: `loss` is the total."""
        return ("loss", *(f"loss_{name}" for name in self.losses[1:]))


class Job(ABC):
    """One training: its recipe, data, model and task."""

    recipe: BaseRecipe

    @abstractmethod
    def open_data(self, is_first: bool) -> None:
        """Look at everything that can be wrong with the input, before anything is written.

        Args:
            is_first: rank 0, which speaks for all.

        Raises:
            ConfigError: the input cannot be used; one line.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Of the data: must be the same on all ranks."""

    @abstractmethod
    def build_model(self, resumes: bool) -> nn.Module:
        """
        Args:
            resumes: a checkpoint is going to fill it, so nothing needs to be read for it.

        Raises:
            ConfigError: the weights that the recipe starts from cannot be used.
        """

    @abstractmethod
    def build_task(self, model: nn.Module) -> Task: ...

    @property
    @abstractmethod
    def samples(self) -> int:
        """That there are to train on, once the data are open."""

    @abstractmethod
    def loader(
        self, recipe: BaseRecipe, rank: int, world_size: int, start_step: int
    ) -> DataLoader[Any]:
        """This rank's micro-batches from a step to the end of the last epoch, by `epoch_sampler`.

        Args:
            recipe: the job's own, with the micro-batches of this launch.
        """
