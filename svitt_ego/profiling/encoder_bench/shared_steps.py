"""Training steps of several recipes on one set of weights.

Steps that take turns have to be in memory together. What they do not differ in, weights, optimiser
states and the batch, is there once.
"""

from collections.abc import Sequence

import torch
from torch import nn

from svitt_ego.config.schema import Recipe
from svitt_ego.data.batch import Batch
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.compare import TrainStep
from svitt_ego.profiling.optimizer_states import make_states
from svitt_ego.training.optimizer import build_optimizer
from svitt_ego.training.rehearsal import SPECIAL_TOKENS, train_step_of
from svitt_ego.training.task import PretrainingTask


def shared_steps(owner: SViTTEgo, recipes: Sequence[Recipe], batch: Batch) -> list[TrainStep]:
    """One step for each recipe, with the parameters of `owner` and one AdamW that already holds
    its states. `batch` is where the parameters are.

    The recipes may differ in whatever changes no parameter.
    """
    models = []
    for recipe in recipes:
        with torch.device("meta"):
            model = SViTTEgo(recipe.model, recipe.training.recompute)
        models.append(_with_tensors_of(owner, model))
    optimizer = _ready_optimizer(owner, recipes[0])
    steps = []
    for model, recipe in zip(models, recipes, strict=True):
        task = PretrainingTask(model, recipe.objectives, SPECIAL_TOKENS).train()
        steps.append(train_step_of(task, optimizer, batch, recipe.seed))
    return steps


def _with_tensors_of(owner: nn.Module, model: nn.Module) -> nn.Module:
    model.load_state_dict(owner.state_dict(keep_vars=True), assign=True)
    for name, buffer in owner.named_buffers():
        place, _, own_name = name.rpartition(".")
        model.get_submodule(place).register_buffer(own_name, buffer, persistent=False)
    return model


def _ready_optimizer(model: SViTTEgo, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW with its states."""
    optimizer = build_optimizer(model, recipe.optimisation, fused=True)
    make_states(optimizer)
    return optimizer
