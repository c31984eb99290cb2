"""Seeds of a step's random draws.

Every draw is a pure function of (seed, step, micro-step, rank), so a resumed run draws what the
uninterrupted one would have drawn and no random state needs to be saved. Block patterns depend on
(seed, step) alone: they are the same on all ranks. Masked words depend on (seed, step, clip): they
are the same at any number of ranks.
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Draws:
    """Where in training a forward pass stands; steps count from 1."""

    seed: int
    step: int
    micro_step: int = 0
    rank: int = 0

    def of(self, purpose: int) -> tuple[int, ...]:
        """A seed for `numpy.random.default_rng`, one stream per purpose."""
        return (self.seed, self.step, self.micro_step, self.rank, purpose)

    def of_clip(self, purpose: int, row: int) -> tuple[int, ...]:
        """A seed for what is drawn for a clip wherever it is; `row` is its row in the metadata."""
        return (self.seed, self.step, row, purpose)

    def seed_torch(self) -> None:
        """Seed torch's generators, from which dropout and drop path draw."""
        state = np.random.SeedSequence(self.of(DROPOUT)).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(state >> 1))


# from 1: numpy takes a seed that ends in 0 for the one without it
DROPOUT, MATCHING, MASKING = range(1, 4)
