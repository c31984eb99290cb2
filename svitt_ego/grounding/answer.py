"""Predictions of a trained model for all queries of a dataset."""

from functools import partial

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from svitt_ego.config.grounding import Decoding
from svitt_ego.grounding.batch import collate
from svitt_ego.grounding.dataset import GroundingDataset
from svitt_ego.grounding.model import Grounder
from svitt_ego.grounding.score import Windows


@torch.inference_mode()
def answer(
    model: Grounder,
    dataset: GroundingDataset,
    decoding: Decoding,
    batch_size: int = 1,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Windows]:
    """Windows in seconds by the query's id, best first: for `score` and `write_predictions`.

    The model is put into evaluation mode, and batches go to its device.

    Raises:
        FeaturesError: the features of a clip or query cannot be read.
    """
    model.eval()
    weight = next(model.parameters())
    loader = DataLoader(
        dataset,
        batch_size,
        num_workers=workers,
        collate_fn=partial(collate, grid=dataset.clips.grid),
    )
    answers: dict[str, Windows] = {}
    for batch in tqdm(loader, desc="grounding", unit="batch", disable=not progress):
        batch = batch.to(weight.device).of_type(weight.dtype)
        predictions = model.predict(model(batch), batch, decoding)
        for query_id, predicted in zip(batch.ids, predictions, strict=True):
            answers[query_id] = [(start, end) for start, end in predicted.windows_s.tolist()]
    return answers
