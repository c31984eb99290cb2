"""Which rows make which micro-batch: a pure function of seed, step and rank."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from svitt_ego.config import ConfigError
from svitt_ego.config.base import BaseRecipe
from svitt_ego.data.randomness import Stream, generator


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Yields this rank's micro-batches as lists of (epoch, row), from a step to the last epoch.

    An epoch is a seeded random order of all rows, or of a random share of them; a new one each
    epoch. Its steps take consecutive stretches of it, the global batches of

        micro_batch_size * world_size * gradient_accumulation_steps

    rows; an incomplete last one is left out. A global batch in turn is cut in
    gradient_accumulation_steps global micro-batches of micro_batch_size * world_size rows, which
    the ranks divide in order. So the same global batch size gives the same global batches at any
    number of ranks, and the same global micro-batches (over which contrastive features are
    gathered) where micro_batch_size * world_size is the same too.
    """

    def __init__(
        self,
        *,
        rows: int,
        share: float,
        seed: int,
        epochs: int,
        micro_batch_size: int,
        gradient_accumulation_steps: int,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
    ) -> None:
        """
        Args:
            rows: of the table.
            share: of the rows that makes an epoch, in (0, 1].
            start_step: optimisation steps already done.

        Raises:
            ConfigError: an epoch has fewer rows than a global batch.
        """
        assert 0 <= rank < world_size and 0 < share <= 1 and start_step >= 0
        self._rows = rows
        self._seed = seed
        self._epochs = epochs
        self._micro_batch_size = micro_batch_size
        self._accumulation = gradient_accumulation_steps
        self._rank = rank
        self._world_size = world_size
        self._start_step = start_step
        self.rows_per_epoch = max(1, round(rows * share))
        self.global_batch_size = micro_batch_size * world_size * gradient_accumulation_steps
        self.steps_per_epoch = self.rows_per_epoch // self.global_batch_size
        if self.steps_per_epoch == 0:
            part = f" (data.epoch_share = {share} of {rows} rows)" if share < 1 else ""
            raise ConfigError(
                f"an epoch has {self.rows_per_epoch} samples{part}, but a step takes "
                f"{self.global_batch_size}: training.micro_batch_size = {micro_batch_size}, times "
                f"{gradient_accumulation_steps} accumulation steps, times {world_size} ranks; make "
                "one of them smaller"
            )

    @property
    def steps(self) -> int:
        """Optimisation steps of all epochs, those already done included."""
        return self.steps_per_epoch * self._epochs

    def __len__(self) -> int:
        """Micro-batches still to come."""
        return max(0, self.steps - self._start_step) * self._accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first_epoch, first_step = divmod(self._start_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self._epochs):
            order = self._epoch_order(epoch)
            for step in range(first_step, self.steps_per_epoch):
                start = step * self.global_batch_size
                yield from self._own_part(order[start : start + self.global_batch_size], epoch)
            first_step = 0

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        rng = generator(Stream.EPOCH_ORDER, self._seed, epoch)
        return rng.permutation(self._rows)[: self.rows_per_epoch]

    def _own_part(self, batch: NDArray[np.int64], epoch: int) -> Iterator[list[tuple[int, int]]]:
        split = batch.reshape(self._accumulation, self._world_size, self._micro_batch_size)
        for rows in split[:, self._rank]:
            yield [(epoch, int(row)) for row in rows]


def epoch_sampler(
    recipe: BaseRecipe, rows: int, rank: int = 0, world_size: int = 1, start_step: int = 0
) -> EpochSampler:
    """The sampler of a run on `rows` samples; it knows the steps per epoch and in all.

    Raises:
        ConfigError: an epoch has fewer samples than a global batch.
    """
    return EpochSampler(
        rows=rows,
        share=recipe.data.epoch_share,
        seed=recipe.seed,
        epochs=recipe.training.epochs,
        micro_batch_size=recipe.training.micro_batch_size,
        gradient_accumulation_steps=recipe.training.gradient_accumulation_steps,
        rank=rank,
        world_size=world_size,
        start_step=start_step,
    )
