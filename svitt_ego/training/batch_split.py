"""How ranks and micro-batches share a step's samples where a run resumes with other ranks."""

from dataclasses import dataclass
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.config.base import divisors
from svitt_ego.config.load import AnyRecipe, recipe_from_tree


@dataclass(frozen=True)
class BatchSplit:
    """A step's samples: `micro_batch_size` x `gradient_accumulation_steps` on each rank."""

    world_size: int
    micro_batch_size: int
    gradient_accumulation_steps: int

    @property
    def global_batch_size(self) -> int:
        return self.world_size * self.micro_batch_size * self.gradient_accumulation_steps

    def __str__(self) -> str:
        return (
            f"{self.world_size} ranks x training.micro_batch_size = {self.micro_batch_size} x "
            f"training.gradient_accumulation_steps = {self.gradient_accumulation_steps}"
        )


def split_for(was: BatchSplit, asked: BatchSplit, compares: bool, is_new: bool) -> BatchSplit:
    """The split to resume with, of the same global batch.

    What is asked for is taken where it keeps the global batch. Otherwise the split that was is
    adapted to the new number of ranks. A loss that compares a micro-batch's samples keeps its size
    and their number, so each rank's part changes; another depends on neither, so a rank's
    micro-batch stays as near below its old size as divides.

    Args:
        was: of the checkpoint.
        asked: of the recipe and the ranks there are now.
        compares: `BaseTraining.compares_micro_batch`.
        is_new: the recipe's sizes were changed since the last launch, so they are meant.

    Raises:
        ConfigError: the global batch does not divide; says what to set.
    """
    if asked.global_batch_size == was.global_batch_size:
        return asked
    ranks = asked.world_size
    samples = was.micro_batch_size * was.world_size if compares else was.global_batch_size
    if not is_new and samples % ranks == 0:
        if compares:
            return BatchSplit(ranks, samples // ranks, was.gradient_accumulation_steps)
        of_rank = samples // ranks
        micro = max(m for m in divisors(of_rank) if m <= was.micro_batch_size)
        return BatchSplit(ranks, micro, of_rank // micro)
    fitting = ", ".join(map(str, divisors(samples)))
    raise ConfigError(
        f"the checkpoint's steps took {was.global_batch_size} samples ({was}), this launch's would "
        f"take {asked.global_batch_size} ({asked}): set the two sizes so that their product with "
        f"the ranks is {was.global_batch_size}, or launch one of {fitting} ranks"
    )


def with_split(recipe: AnyRecipe, split: BatchSplit) -> AnyRecipe:
    """The recipe with the split's sizes."""
    tree: dict[str, Any] = recipe.model_dump()
    tree["training"]["micro_batch_size"] = split.micro_batch_size
    tree["training"]["gradient_accumulation_steps"] = split.gradient_accumulation_steps
    return recipe_from_tree(tree, {}, f"{recipe.name} on {split.world_size} ranks", type(recipe))
