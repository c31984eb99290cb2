"""The pre-training step on random clips and words: what a run needs, without its data.

For comparing and planning memory. It shares the task and the parameter groups with real runs.
"""

import torch
from torch import Tensor

from svitt_ego.config.schema import Recipe
from svitt_ego.data.batch import Batch
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.compare import TrainStep
from svitt_ego.training.draws import Draws
from svitt_ego.training.optimizer import build_optimizer
from svitt_ego.training.task import PretrainingTask, SpecialTokens

SPECIAL_TOKENS = SpecialTokens(special=(0, 1, 2, 3), mask=4)
"""Of the made-up vocabulary: padding, unknown, [CLS], [SEP]; the mask."""
CLS, SEP, FIRST_WORD = 2, 3, 5
VERBS, NOUNS = 118, 582
"""Tag classes of EgoClip's taxonomy."""


def random_batch(recipe: Recipe, seed: int) -> Batch:
    """Clips of noise with random sentences of the greatest length, as the recipe shapes them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.randint(low, high, shape, generator=generator, dtype=dtype)

    anchors = recipe.training.micro_batch_size
    clips = recipe.objectives.contrastive.clips_per_anchor * anchors
    size, length = recipe.model.video.image_size, recipe.data.max_text_tokens
    ids = draw(FIRST_WORD, recipe.model.text.vocabulary_size, clips, length)
    ids[:, 0], ids[:, -1] = CLS, SEP
    verbs, nouns = torch.zeros(clips, VERBS).bool(), torch.zeros(clips, NOUNS).bool()
    verbs.scatter_(1, draw(0, VERBS, clips, 1), True)
    nouns.scatter_(1, draw(0, NOUNS, clips, 1), True)
    return Batch(
        video=draw(0, 256, clips, recipe.data.frames, 3, size, size, dtype=torch.uint8),
        text_ids=ids,
        text_mask=torch.ones_like(ids),
        verb_tags=verbs,
        noun_tags=nouns,
        rows=torch.arange(clips),
        anchors=anchors,
    )


def rehearse(recipe: Recipe, device: torch.device) -> TrainStep:
    """A new model with fresh weights (none are read from files), its objectives and AdamW.

    The weights and the batch depend on the recipe's seed and sizes alone, so variants of a recipe
    that share their parameters start equal.
    """
    torch.manual_seed(recipe.seed)
    model = SViTTEgo(recipe.model, recipe.training.recompute)
    task = PretrainingTask(model, recipe.objectives, SPECIAL_TOKENS).to(device)
    optimizer = build_optimizer(task, recipe.optimisation)
    return train_step_of(task, optimizer, random_batch(recipe, recipe.seed).to(device), recipe.seed)


def train_step_of(
    task: PretrainingTask, optimizer: torch.optim.Optimizer, batch: Batch, seed: int
) -> TrainStep:
    """The step of a task on always the same batch."""
    return TrainStep(
        model=task,
        optimizer=optimizer,
        inputs=batch.tensors(),
        clips=len(batch.video),
        loss=lambda step: task(batch, Draws(seed, step)).total,
    )
