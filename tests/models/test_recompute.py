"""Recomputation changes what is stored and nothing else: the whole task, dropout and drop path on.

Tolerance: losses are equal; gradients to 1e-6 of a tensor's largest value (sums may take another
order).
"""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from svitt_ego.config import load_recipe
from svitt_ego.config.base import ConfigError
from svitt_ego.config.schema import NodeSparsity, Objectives, Recompute
from svitt_ego.data.batch import Batch
from svitt_ego.models import SViTTEgo
from svitt_ego.training.draws import Draws
from svitt_ego.training.task import PretrainingTask, SpecialTokens

POLICIES = [
    Recompute(what="none"),
    Recompute(what="attention"),
    Recompute(what="attention", every=2),
    Recompute(what="layers"),
    Recompute(what="layers", every=2),
    Recompute(what="layers", every=3),
]


@pytest.fixture
def batch():
    clips, anchors, length = 6, 3, 9
    mask = torch.ones(clips, length, dtype=torch.int64)
    mask[1, 6:] = mask[4, 4:] = 0
    return Batch(
        video=torch.randint(0, 256, (clips, 3, 3, 40, 40), dtype=torch.uint8),
        text_ids=torch.randint(5, 60, (clips, length)),
        text_mask=mask,
        verb_tags=torch.eye(clips, dtype=torch.bool),
        noun_tags=torch.eye(clips, dtype=torch.bool),
        rows=torch.arange(clips),
        anchors=anchors,
    )


@pytest.fixture
def make_task(make_model):
    """The task with every objective under a policy; always of the same weights."""
    recipe = make_model()
    fusion = recipe.fusion.model_copy(
        update={"layers": 3, "node_sparsity": NodeSparsity(layers=(1,), keep_rate=0.3)}
    )
    recipe = recipe.model_copy(update={"fusion": fusion})
    assert recipe.video.drop_path and recipe.text.dropout and recipe.video.node_sparsity

    def make(policy):
        torch.manual_seed(1)
        model = SViTTEgo(recipe, policy)
        for parameter in model.parameters():
            if parameter is not model.temperature_parameter:
                torch.nn.init.normal_(parameter, std=0.2)
        task = PretrainingTask(model, Objectives(), SpecialTokens(special=(0, 1, 2, 3), mask=4))
        return task.train()

    return make


def run(task, batch):
    losses = task(batch, Draws(seed=3, step=2))
    losses.total.backward()
    return losses, {name: p.grad for name, p in task.named_parameters()}


@pytest.mark.parametrize("policy", POLICIES[1:], ids=lambda p: f"{p.what}-{p.every}")
def test_losses_and_gradients_are_the_same(make_task, batch, policy):
    losses, gradients = run(make_task(POLICIES[0]), batch)
    recomputed_losses, recomputed = run(make_task(policy), batch)
    for part in ("total", "contrastive", "vtm", "mlm"):
        assert getattr(losses, part) == getattr(recomputed_losses, part), part
    for name, gradient in gradients.items():
        if gradient is None:  # what no objective uses
            assert recomputed[name] is None
            continue
        largest = gradient.abs().max().item()
        torch.testing.assert_close(
            recomputed[name], gradient, atol=1e-6 * largest + 1e-12, rtol=0, msg=name
        )


def test_dropout_is_on(make_task, batch):
    """Otherwise the test above would not ask for a restored random state."""
    task = make_task(POLICIES[0])
    first, second = (task(batch, Draws(seed=3, step=2, rank=rank)) for rank in (0, 1))
    assert first.contrastive != second.contrastive


def stored_bytes(task, batch):
    """Bytes of the storages that the forward pass leaves for the backward pass."""
    known = {p.untyped_storage().data_ptr() for p in task.parameters()}
    kept, sizes = [], {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept.append(tensor)  # alive, so that no address is used twice
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = task(batch, Draws(seed=3, step=2))
    del losses
    return sum(sizes.values())


def test_what_is_stored_shrinks(make_task, batch):
    sizes = {
        (policy.what, policy.every): stored_bytes(make_task(policy), batch) for policy in POLICIES
    }
    for what in ("attention", "layers"):
        assert sizes["none", 1] > sizes[what, 2] > sizes[what, 1]
    assert sizes["layers", 3] > sizes["layers", 2]
    assert sizes["attention", 1] < 0.8 * sizes["none", 1]
    assert sizes["layers", 1] < 0.35 * sizes["none", 1]


def test_nothing_is_recomputed_without_gradients(make_task, batch):
    task = make_task(Recompute(what="layers"))
    plain = make_task(POLICIES[0])
    with torch.no_grad():
        assert task(batch, Draws(1, 1)).total == plain(batch, Draws(1, 1)).total


@pytest.mark.parametrize(
    "override, said",
    [
        ("training.recompute.what=some", "training.recompute.what = 'some'.*'attention'"),
        ("training.recompute.every=0", "training.recompute.every = 0.*greater than 0"),
        ("training.recompute=layers", "must be a section; known here: what, every"),
    ],
)
def test_an_impossible_policy_is_named(override, said):
    with pytest.raises(ConfigError, match=said):
        load_recipe("demo", [override])


def test_the_recipe_sets_the_policy():
    overrides = ["training.recompute.what=layers", "training.recompute.every=2"]
    recipe = load_recipe("demo", overrides)
    model = SViTTEgo.from_recipe(recipe)
    policy = Recompute(what="layers", every=2)
    assert model.video.recompute == model.text.recompute == model.fusion.recompute == policy
