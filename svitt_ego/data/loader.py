"""From samples to batches, in worker processes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import Recipe
from svitt_ego.data.batch import Batch, StoredBatch, StoredClips
from svitt_ego.data.dataset import EgoClipDataset, Sample
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.sampler import epoch_sampler
from svitt_ego.data.text import encode_texts
from svitt_ego.data.transforms import resize_clip


class Collate:
    """Samples to a batch: anchors first, then their negatives and their positives in the same
    order. Texts are tokenised here, in the worker, and padded to the batch."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_text_tokens: int,
        image_size: int,
        verb_classes: int,
        noun_classes: int,
        finish_on_device: bool,
    ) -> None:
        """
        Args:
            image_size: height and width of the frames, pixels.
            finish_on_device: leave resizing and mirroring to `StoredBatch.to`; else do it here.
        """
        self._tokenizer = tokenizer
        self._max_text_tokens = max_text_tokens
        self._image_size = image_size
        self._verb_classes = verb_classes
        self._noun_classes = noun_classes
        self._finish_on_device = finish_on_device

    def __call__(self, samples: Sequence[Sample]) -> Batch | StoredBatch:
        clips = [sample.anchor for sample in samples]
        clips += [sample.negative for sample in samples if sample.negative is not None]
        clips += [sample.positive for sample in samples if sample.positive is not None]
        assert len(clips) % len(samples) == 0
        text_ids, text_mask = encode_texts(
            self._tokenizer, [clip.text for clip in clips], self._max_text_tokens
        )
        batch = Batch(
            video=torch.empty(0, dtype=torch.uint8),
            text_ids=text_ids,
            text_mask=text_mask,
            verb_tags=_class_masks([clip.verbs for clip in clips], self._verb_classes),
            noun_tags=_class_masks([clip.nouns for clip in clips], self._noun_classes),
            rows=torch.tensor([clip.row for clip in clips]),
            anchors=len(samples),
            random_negatives=sum(sample.negative_is_random for sample in samples),
            faults=tuple(fault for sample in samples for fault in sample.faults),
        )
        videos, mirrored = [clip.video for clip in clips], [clip.mirrored for clip in clips]
        if self._finish_on_device:
            return StoredBatch(StoredClips.pack(videos, mirrored, self._image_size), batch)
        finished = map(resize_clip, videos, repeat(self._image_size), mirrored)
        return replace(batch, video=torch.stack(list(finished)))


def _class_masks(tags: Sequence[Sequence[int]], classes: int) -> Tensor:
    masks = torch.zeros(len(tags), classes, dtype=torch.bool)
    for mask, ids in zip(masks, tags, strict=True):
        mask[list(ids)] = True
    return masks


def limit_worker_threads(worker: int) -> None:
    """Workers run side by side: one thread each."""
    torch.set_num_threads(1)


def build_loader(
    recipe: Recipe,
    table: ClipTable,
    tokenizer: PreTrainedTokenizerBase,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
) -> DataLoader[Batch | StoredBatch]:
    """This rank's micro-batches from optimisation step `start_step` to the end of the last epoch.

    One iteration runs through all epochs, so that workers never stop in between. Its
    `batch_sampler` is `epoch_sampler`'s. Where there is a GPU, frames travel to it at their stored
    size, and `StoredBatch.to` resizes them there; else the workers do.

    Raises:
        ConfigError: an epoch has fewer clips than a global batch, or the skip list cannot be used.
    """
    on_gpu = torch.cuda.is_available()
    dataset = EgoClipDataset(
        table, recipe.data, seed=recipe.seed, contrastive=recipe.objectives.contrastive
    )
    return DataLoader(
        dataset,
        batch_sampler=epoch_sampler(recipe, len(table), rank, world_size, start_step),
        collate_fn=Collate(
            tokenizer,
            recipe.data.max_text_tokens,
            recipe.model.video.image_size,
            table.verb_classes,
            table.noun_classes,
            finish_on_device=on_gpu,
        ),
        num_workers=recipe.data.workers,
        worker_init_fn=limit_worker_threads,
        pin_memory=on_gpu,
        # The loader draws a base seed for its workers: from here, not from the global generator,
        # whose state belongs to the model.
        generator=torch.Generator().manual_seed(recipe.seed),
    )
