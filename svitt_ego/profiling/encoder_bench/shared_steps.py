"""Training steps of several recipes on one set of weights.

Steps that take turns have to be in memory together. What they do not differ in, weights, optimiser
states and the batch, is there once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from svitt_ego.config.schema import Recipe
from svitt_ego.data.batch import Batch
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.compare import TrainStep
from svitt_ego.training.draws import Draws
from svitt_ego.training.parameter_groups import parameter_groups
from svitt_ego.training.rehearsal import SPECIAL_TOKENS
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
        steps.append(
            TrainStep(
                model=task,
                optimizer=optimizer,
                inputs=batch.tensors(),
                clips=len(batch.video),
                loss=_loss(task, batch, recipe.seed),
            )
        )
    return steps


def _with_tensors_of(owner: nn.Module, model: nn.Module) -> nn.Module:
    model.load_state_dict(owner.state_dict(keep_vars=True), assign=True)
    for name, buffer in owner.named_buffers():
        place, _, own_name = name.rpartition(".")
        model.get_submodule(place).register_buffer(own_name, buffer, persistent=False)
    return model


def _ready_optimizer(model: SViTTEgo, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW after a step of zero gradients, which makes its states."""
    settings = recipe.optimisation
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        fused=True,
    )
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def _loss(task: PretrainingTask, batch: Batch, seed: int) -> Callable[[int], Tensor]:
    return lambda step: task(batch, Draws(seed, step)).total
