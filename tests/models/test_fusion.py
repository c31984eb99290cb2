"""The fusion encoder against one written for one pair at a time, with loops over heads.

Tolerance: float32, 1e-5 on values and gradients, relative to the largest where that exceeds 1.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from svitt_ego.config.schema import FusionEncoder as FusionRecipe
from svitt_ego.config.schema import NodeSparsity, TextEncoder
from svitt_ego.models.fusion_encoder import FusionEncoder
from svitt_ego.models.recompute import STORE_ALL

TEXT = TextEncoder(
    layers=1, width=24, heads=3, mlp_width=40, vocabulary_size=60, max_positions=16, dropout=0.1
)
VIDEO_WIDTH = 32


def attention_oracle(module, x, source, seen):
    """One pair: x (L, D), source (S, E), seen (S,) -> (L, D), probabilities of token 0 (S,)."""
    q, k, v = module.query(x), module.key(source), module.value(source)
    size = q.shape[-1] // module.heads
    out, scores = [], []
    for head in range(module.heads):
        part = slice(head * size, (head + 1) * size)
        logits = q[:, part] @ k[:, part].T / math.sqrt(size)
        logits[:, ~seen] = float("-inf")
        probabilities = logits.softmax(-1)
        scores.append(probabilities[0].detach())
        out.append(probabilities @ v[:, part])
    out = module.output(torch.cat(out, dim=-1))
    return F.layer_norm(
        x + out, x.shape[-1:], module.norm.weight, module.norm.bias, module.norm.eps
    ), torch.stack(scores).mean(0)


def oracle(encoder, text, mask, video):
    """Every pair by itself; dropped tokens are really taken out. Also the kept ones."""
    node = encoder.recipe.node_sparsity
    fused, kept_of_pairs = [], []
    for x, seen, tokens in zip(text, mask.bool(), video, strict=True):
        kept_of_pair = []
        for index, layer in enumerate(encoder.layers):
            x, _ = attention_oracle(layer.attention, x, x, seen)
            every = torch.ones(len(tokens), dtype=torch.bool)
            x, scores = attention_oracle(layer.cross_attention, x, tokens, every)
            hidden = layer.mlp_out(F.gelu(layer.mlp_in(x)))
            x = F.layer_norm(
                x + hidden, x.shape[-1:], layer.norm.weight, layer.norm.bias, layer.norm.eps
            )
            if node is not None and index in node.layers:
                keep = math.ceil(round(node.keep_rate * (len(tokens) - 1), 9))
                best = scores[1:].argsort(descending=True)[:keep]
                kept = [0] + sorted(1 + place for place in best.tolist())
                tokens = tokens[kept]
                kept_of_pair.append(kept)
        fused.append(x)
        kept_of_pairs.append(kept_of_pair)
    return torch.stack(fused), kept_of_pairs


@pytest.mark.parametrize(
    "node",
    [
        None,
        NodeSparsity(layers=(0,), keep_rate=0.3),
        NodeSparsity(layers=(1,), keep_rate=0.1),
        NodeSparsity(layers=(0, 1), keep_rate=0.5),
        NodeSparsity(layers=(2,), keep_rate=0.2),
    ],
    ids=str,
)
def test_equals_oracle(node):
    encoder = FusionEncoder(
        FusionRecipe(layers=3, node_sparsity=node), TEXT, VIDEO_WIDTH, STORE_ALL
    ).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    text = torch.randn(3, 7, TEXT.width)
    video = torch.randn(3, 1 + 20, VIDEO_WIDTH)
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, 4:] = mask[2, 1:] = 0

    inputs = [[x.clone().requires_grad_() for x in (text, video)] for _ in range(2)]
    fused = encoder(inputs[0][0], mask, inputs[0][1])
    expected, kept = oracle(encoder, inputs[1][0], mask, inputs[1][1])
    assert_same(fused, expected, "fused")
    weights = torch.randn_like(fused)
    parameters = list(encoder.parameters())
    ours = torch.autograd.grad((fused * weights).sum(), [*inputs[0], *parameters])
    theirs = torch.autograd.grad((expected * weights).sum(), [*inputs[1], *parameters])
    names = ["text", "video", *(name for name, _ in encoder.named_parameters())]
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert_same(a, b, name)
    if node is not None and node.layers[0] == 0:  # pairs keep different tokens
        assert len({tuple(pair[0]) for pair in kept}) > 1


def test_videos_cls_is_never_dropped():
    """Even where no text attends to it: with one layer after the drop its gradient is not 0."""
    node = NodeSparsity(layers=(0,), keep_rate=0.05)
    encoder = FusionEncoder(
        FusionRecipe(layers=2, node_sparsity=node), TEXT, VIDEO_WIDTH, STORE_ALL
    ).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    first = encoder.layers[0].cross_attention
    text, video = torch.randn(2, 5, TEXT.width), torch.randn(2, 21, VIDEO_WIDTH)
    with torch.no_grad():  # layer 0 does not see the video, so gradients come from layer 1 alone
        first.output.weight.zero_()
    video.requires_grad_()
    encoder(text, torch.ones(2, 5), video).sum(dim=(0, 1)).norm().backward()
    touched = video.grad.abs().sum(-1) > 0
    assert touched[:, 0].all()
    assert touched[:, 1:].sum(1).tolist() == [1, 1]  # ceil(0.05 * 20)


def assert_same(ours, theirs, name):
    torch.testing.assert_close(
        ours,
        theirs,
        atol=1e-5 * max(theirs.abs().max().item(), 1),
        rtol=0,
        msg=lambda text: f"{name}: {text}",
    )
