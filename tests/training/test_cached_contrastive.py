"""The cached loss is the big batch's: in double precision, the whole task, every gradient.

Through DeepSpeed, in single precision and on several ranks: test_steps_through_deepspeed.py.
"""

import pytest
import torch

from svitt_ego.config.load import recipe_from_tree
from svitt_ego.models import SViTTEgo
from svitt_ego.training.cached_contrastive import cache_contrastive
from svitt_ego.training.draws import Draws
from svitt_ego.training.rehearsal import SPECIAL_TOKENS, random_batch
from svitt_ego.training.task import OfStep, PretrainingTask
from tests.training.deepspeed_ranks import GLOBAL_ANCHORS, part_of, recipe_of

STEP = 3


def task_and_batch(loss):
    tree = recipe_of({"micro": GLOBAL_ANCHORS}).model_dump()
    tree["objectives"]["contrastive"]["name"] = loss
    tree["model"]["video"]["drop_path"] = tree["model"]["text"]["dropout"] = 0.0
    recipe = recipe_from_tree(tree, {}, "case")
    torch.manual_seed(5)
    model = SViTTEgo(recipe.model)
    task = PretrainingTask(model, recipe.objectives, SPECIAL_TOKENS).double()
    return task, random_batch(recipe, seed=int(torch.randint(2**31, ())))


def gradients(task):
    found = {name: p.grad for name, p in task.named_parameters() if p.grad is not None}
    task.zero_grad()
    return found


@pytest.mark.parametrize("loss, micro", [("egonce", 1), ("infonce", 4)])
def test_loss_and_gradients_of_the_big_batch(loss, micro):
    torch.seed()
    task, whole = task_and_batch(loss)
    draws = Draws(seed=0, step=STEP)
    expected = task(whole, draws)
    expected.total.backward()
    expected_gradients = gradients(task)
    assert len(expected_gradients) > 50

    starts = range(0, GLOBAL_ANCHORS, micro)
    parts = [part_of(whole, range(start, start + micro)) for start in starts]
    masked = sum(len(task.mask(part, draws).labels) for part in parts) / len(parts)
    features = [task.features(part, draws) for part in parts]
    cached = cache_contrastive(features, task.contrastive_loss)
    losses = [
        task(part, draws, OfStep(masked, contrastive))
        for part, contrastive in zip(parts, cached, strict=True)
    ]
    for found in losses:
        (found.total / len(parts)).backward()
        torch.testing.assert_close(found.contrastive, expected.contrastive, rtol=1e-12, atol=0)
    total = torch.stack([found.total for found in losses]).mean()
    torch.testing.assert_close(total, expected.total, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(task), expected_gradients, rtol=1e-9, atol=1e-13)
