"""Pre-training as a job: SViTT-Ego on narrated clips."""

import logging
from typing import Any

from torch.utils.data import DataLoader

from svitt_ego.config import Recipe
from svitt_ego.data.batch import Batch, StoredBatch
from svitt_ego.data.loader import build_loader
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.paths import check_data_paths, check_videos_found
from svitt_ego.data.skip_list import read_skip_list
from svitt_ego.data.text import load_tokenizer
from svitt_ego.models import SViTTEgo
from svitt_ego.training.job import Job
from svitt_ego.training.task import PretrainingTask, SpecialTokens

log = logging.getLogger("svitt_ego")


class Pretraining(Job):
    recipe: Recipe

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def open_data(self, is_first: bool) -> None:
        data = self.recipe.data
        check_data_paths(self.recipe)
        self.table = ClipTable.open(data.metadata, data.strict, progress=is_first)
        check_videos_found(self.table, data.videos)
        if data.skip_list:
            read_skip_list(data.skip_list, self.table)
        if is_first:
            _warn_of_malformed_rows(self.table, data.metadata)
        vocabulary_size = self.recipe.model.text.vocabulary_size
        self.tokenizer = load_tokenizer(data.tokenizer, vocabulary_size)

    def facts(self) -> dict[str, Any]:
        return {"clips": len(self.table)}

    def build_model(self, resumes: bool) -> SViTTEgo:
        if resumes:  # nothing of a pretrained encoder would remain
            return SViTTEgo(self.recipe.model, self.recipe.training.recompute)
        return SViTTEgo.from_recipe(self.recipe)

    def build_task(self, model: SViTTEgo) -> PretrainingTask:
        tokenizer = self.tokenizer
        tokens = SpecialTokens(tuple(tokenizer.all_special_ids), tokenizer.mask_token_id)
        over_step = self.recipe.training.contrastive_batch == "step"
        return PretrainingTask(model, self.recipe.objectives, tokens, over_step)

    @property
    def samples(self) -> int:
        return len(self.table)

    def loader(
        self, recipe: Recipe, rank: int, world_size: int, start_step: int
    ) -> DataLoader[Batch | StoredBatch]:
        return build_loader(recipe, self.table, self.tokenizer, rank, world_size, start_step)


def _warn_of_malformed_rows(table: ClipTable, path: str) -> None:
    if table.malformed:
        first = table.malformed[0]
        log.warning(
            "%s: %d malformed rows left out, the first in line %d: %s",
            path,
            table.manifest.malformed_rows,
            first.line,
            first.reason,
        )
