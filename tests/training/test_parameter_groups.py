import pytest
import torch
from torch import nn

from svitt_ego.training.parameter_groups import parameter_groups


class Model(nn.Module):
    """One parameter of every kind the rule speaks about, one of them shared, one frozen."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.attention = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.decoder = nn.Linear(4, 6)
        self.decoder.weight = self.embedding.weight
        self.patches = nn.Conv3d(3, 4, 2)
        self.bias_table = nn.Parameter(torch.zeros(5, 2))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.layer_scale = nn.Parameter(torch.ones(4))
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.heads = nn.Module()
        self.heads.bias = nn.Parameter(torch.zeros(2, 4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def names_of(model, group):
    return {n for n, p in model.named_parameters() if any(p is q for q in group["params"])}


def test_weights_decay_and_biases_vectors_and_scalars_do_not():
    model = Model()
    decayed, plain = parameter_groups(model, 0.02)
    assert decayed["weight_decay"] == 0.02 and plain["weight_decay"] == 0.0
    assert names_of(model, decayed) == {
        "embedding.weight",
        "attention.weight",
        "patches.weight",
        "bias_table",
        "cls_token",
    }
    assert names_of(model, plain) == {
        "attention.bias",
        "norm.weight",
        "norm.bias",
        "decoder.bias",
        "patches.bias",
        "layer_scale",
        "temperature",
        "heads.bias",  # 2-D, but a bias by name
    }


def test_each_trainable_parameter_is_in_one_group_once():
    model = Model()
    grouped = [id(p) for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_the_groups_do_what_they_say():
    """With zero gradients AdamW moves the decayed weights alone, by lr * decay."""
    model = Model()
    groups = parameter_groups(model, 0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    torch.optim.AdamW(groups, lr=0.1).step()
    decayed = names_of(model, groups[0])
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] * (0.95 if name in decayed else 1.0))


@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_an_empty_group_is_left_out(kind):
    model = nn.Linear(3, 3)
    getattr(model, kind).requires_grad_(False)
    (group,) = parameter_groups(model, 0.1)
    assert len(group["params"]) == 1
    assert group["weight_decay"] == (0.1 if kind == "bias" else 0.0)
