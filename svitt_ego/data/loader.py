"""From samples to batches, in worker processes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import Recipe
from svitt_ego.data.batch import Batch
from svitt_ego.data.dataset import EgoClipDataset, Sample
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.sampler import EpochSampler
from svitt_ego.data.text import encode_texts


class Collate:
    """Samples to a `Batch`: anchors first, then their negatives in the same order."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_text_tokens: int,
        verb_classes: int,
        noun_classes: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._max_text_tokens = max_text_tokens
        self._verb_classes = verb_classes
        self._noun_classes = noun_classes

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        clips = [sample.anchor for sample in samples]
        clips += [sample.negative for sample in samples if sample.negative is not None]
        assert len(clips) in (len(samples), 2 * len(samples))
        text_ids, text_mask = encode_texts(
            self._tokenizer, [clip.text for clip in clips], self._max_text_tokens
        )
        return Batch(
            video=torch.stack([clip.video for clip in clips]),
            text_ids=text_ids,
            text_mask=text_mask,
            verb_tags=_class_masks([clip.verbs for clip in clips], self._verb_classes),
            noun_tags=_class_masks([clip.nouns for clip in clips], self._noun_classes),
            rows=torch.tensor([clip.row for clip in clips]),
            anchors=len(samples),
            random_negatives=sum(sample.negative_is_random for sample in samples),
            faults=tuple(fault for sample in samples for fault in sample.faults),
        )


def _class_masks(tags: Sequence[Sequence[int]], classes: int) -> Tensor:
    masks = torch.zeros(len(tags), classes, dtype=torch.bool)
    for mask, ids in zip(masks, tags, strict=True):
        mask[list(ids)] = True
    return masks


def limit_worker_threads(worker: int) -> None:
    """Workers run side by side: one thread each."""
    torch.set_num_threads(1)


def epoch_sampler(
    recipe: Recipe, rows: int, rank: int = 0, world_size: int = 1, start_step: int = 0
) -> EpochSampler:
    """The sampler of a run on a table of `rows` rows; it knows the steps per epoch and in all.

    Raises:
        ConfigError: an epoch has fewer clips than a global batch.
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


def build_loader(
    recipe: Recipe,
    table: ClipTable,
    tokenizer: PreTrainedTokenizerBase,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
) -> DataLoader[Batch]:
    """This rank's micro-batches from optimisation step `start_step` to the end of the last epoch.

    One iteration runs through all epochs, so that workers never stop in between. Its
    `batch_sampler` is `epoch_sampler`'s.

    Raises:
        ConfigError: an epoch has fewer clips than a global batch.
    """
    dataset = EgoClipDataset(
        table,
        recipe.data,
        image_size=recipe.model.video.image_size,
        seed=recipe.seed,
        scene_negatives=recipe.objectives.contrastive.scene_negatives,
    )
    return DataLoader(
        dataset,
        batch_sampler=epoch_sampler(recipe, len(table), rank, world_size, start_step),
        collate_fn=Collate(
            tokenizer, recipe.data.max_text_tokens, table.verb_classes, table.noun_classes
        ),
        num_workers=recipe.data.workers,
        worker_init_fn=limit_worker_threads,
        pin_memory=torch.cuda.is_available(),
        # The loader draws a base seed for its workers: from here, not from the global generator,
        # whose state belongs to the model.
        generator=torch.Generator().manual_seed(recipe.seed),
    )
