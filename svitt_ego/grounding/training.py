"""Training of grounding as a job: the same engine, records and checkpoints as pre-training."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from svitt_ego.config import ConfigError
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.data.batch import Fault
from svitt_ego.data.loader import limit_worker_threads
from svitt_ego.data.sampler import epoch_sampler
from svitt_ego.grounding.batch import GroundingBatch, Sample, collate
from svitt_ego.grounding.build import build_grounder
from svitt_ego.grounding.dataset import GroundingDataset, open_dataset
from svitt_ego.grounding.features import FeaturesError
from svitt_ego.grounding.model import Grounder
from svitt_ego.grounding.trained_grounder import start_from
from svitt_ego.training.draws import Draws
from svitt_ego.training.job import Job, Task


class GroundingTask(Task):
    model: Grounder

    def __init__(self, model: Grounder) -> None:
        super().__init__()
        self.model = model
        self.losses = ("total", *model.loss_names)

    def forward(self, batch: GroundingBatch, draws: Draws, of_step: None = None) -> tuple[Tensor]:
        draws.seed_torch()
        batch = batch.of_type(next(self.model.parameters()).dtype)
        losses = self.model.losses(self.model(batch), batch)
        return (losses.total, *losses.parts.values())

    def figures(self) -> dict[str, float]:
        return self.model.figures()


class Grounding(Job):
    recipe: GroundingRecipe

    def __init__(self, recipe: GroundingRecipe) -> None:
        self.recipe = recipe

    def open_data(self, is_first: bool) -> None:
        if self.recipe.data.train_queries is None:
            raise ConfigError(f"recipe {self.recipe.name}: data.train_queries: must be given")
        self.dataset = open_dataset(self.recipe, self.recipe.data.train_queries, training=True)

    def facts(self) -> dict[str, Any]:
        return {"queries": len(self.dataset)}

    def build_model(self, resumes: bool) -> Grounder:
        model = build_grounder(self.recipe.model)
        if self.recipe.model.pretrained and not resumes:
            start_from(self.recipe.model.pretrained, model)
        return model

    def build_task(self, model: Grounder) -> GroundingTask:
        return GroundingTask(model)

    @property
    def samples(self) -> int:
        return len(self.dataset)

    def loader(
        self, recipe: GroundingRecipe, rank: int, world_size: int, start_step: int
    ) -> DataLoader[GroundingBatch]:
        return DataLoader(
            ReadableSamples(self.dataset),
            batch_sampler=epoch_sampler(recipe, self.samples, rank, world_size, start_step),
            collate_fn=partial(collate, grid=self.dataset.clips.grid),
            num_workers=recipe.data.workers,
            worker_init_fn=limit_worker_threads,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(recipe.seed),
        )


class ReadableSamples(Dataset[Sample]):
    """By the sampler's (epoch, row): the query of the row or, where its features cannot be read,
    the next that has some; training goes on, and the fault is counted."""

    def __init__(self, dataset: GroundingDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, place: Sequence[int]) -> Sample:
        _, row = place
        faults: list[Fault] = []
        last = FeaturesError("no query")
        for further in range(len(self._dataset)):
            index = (row + further) % len(self._dataset)
            try:
                return replace(self._dataset[index], faults=tuple(faults))
            except FeaturesError as error:
                faults.append(Fault(str(error.path), "unreadable"))
                last = error
        raise last
