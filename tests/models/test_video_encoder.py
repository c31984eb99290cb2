"""The video encoder against an encoder written with full matrices and masks.

Tolerance: float32, 1e-5 absolute on activations of order 1, 1e-4 relative on gradients.
"""

import pytest
import torch
from torch.nn import functional as F

from svitt_ego.config.schema import EdgeSparsity, NodeSparsity
from svitt_ego.models.token_drop import keep_count
from svitt_ego.models.video_encoder import VideoEncoder


def relative_row(query, key, recipe):
    """Row of the bias table of a pair of patches, from coordinates."""
    side = recipe.grid_size
    place = [(p // side**2, p // side % side, p % side) for p in (query, key)]
    dt, dy, dx = (a - b for a, b in zip(*place, strict=True))
    span = 2 * side - 1
    return ((dt + recipe.max_frames - 1) * span + dy + side - 1) * span + dx + side - 1


def oracle(encoder, video, patterns):
    """Every clip by itself, every matrix in full."""
    recipe = encoder.recipe
    side, grid = recipe.patch_size, recipe.grid_size
    pooled, kept_per_clip = [], []
    for clip in video:
        pixels = (clip.float() / 255 - recipe.pixel_mean) / recipe.pixel_std
        patches = F.conv2d(pixels, encoder.patches.weight, encoder.patches.bias, stride=side)
        patches = patches.flatten(2).transpose(1, 2)  # (T, n, D)
        if recipe.absolute_positions:
            patches = patches + encoder.positions.time[: len(patches)] + encoder.positions.space
        x = torch.cat([encoder.cls_token[0], patches.flatten(0, 1)])
        positions = list(range(clip.shape[0] * grid * grid))
        kept_of_clip = []
        for index, (layer, pattern) in enumerate(zip(encoder.layers, patterns, strict=True)):
            attention, n = layer.attention, len(positions)
            rows = attention.bias_table.shape[0]
            lookup = torch.full((1 + n, 1 + n), rows - 1)
            lookup[0, 1:], lookup[1:, 0] = rows - 3, rows - 2
            lookup[1:, 1:] = torch.tensor(
                [[relative_row(p, r, recipe) for r in positions] for p in positions]
            )
            seen = torch.ones(1 + n, 1 + n, dtype=torch.bool)
            if pattern is not None:
                size = recipe.edge_sparsity.block_size
                for query in range(n):
                    for key in range(n):
                        seen[1 + query, 1 + key] = key // size in pattern[query // size]
            h = F.layer_norm(
                x, x.shape[-1:], layer.attention_norm.weight, layer.attention_norm.bias, 1e-12
            )
            w = attention.qkv.weight.chunk(3)
            q = h @ w[0].T + attention.query_bias
            k = h @ w[1].T
            v = h @ w[2].T + attention.value_bias
            d = recipe.width // recipe.heads
            out, cls_scores = [], 0
            for head in range(recipe.heads):
                part = slice(head * d, (head + 1) * d)
                logits = q[:, part] @ k[:, part].T / d**0.5 + attention.bias_table[lookup, head]
                probabilities = logits.masked_fill(~seen, float("-inf")).softmax(-1)
                out.append(probabilities @ v[:, part])
                cls_scores = cls_scores + probabilities[0, 1:] / recipe.heads
            attended = attention.output(torch.cat(out, dim=-1))
            x = x + layer.attention_scale * attended
            x = x + layer.mlp_scale * layer.mlp_out(F.gelu(layer.mlp_in(layer.mlp_norm(x))))
            if recipe.node_sparsity and index in recipe.node_sparsity.layers:
                keep = keep_count(n, recipe.node_sparsity.keep_rate)
                places = sorted(cls_scores.argsort(descending=True)[:keep].tolist())
                x = x[[0] + [1 + place for place in places]]
                positions = [positions[place] for place in places]
                kept_of_clip.append(positions)
        tokens = encoder.norm(x)
        if recipe.pooling == "mean":
            pooled.append(encoder.pooler_norm(x[1:].mean(0)))
        else:
            pooled.append(tokens[0])
        kept_per_clip.append(kept_of_clip)
    return torch.stack(pooled), kept_per_clip


def randomised(encoder):
    """Weights far enough from their initial values that every term matters."""
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.ndim > 1 else 0.5)
    return encoder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "mean"},
        {"absolute_positions": True},
        {"edge_sparsity": None},
        {"edge_sparsity": None, "dense_attention": "materialised"},
        {"node_sparsity": None},
        {"edge_sparsity": EdgeSparsity(local_blocks=3, random_blocks=0, block_size=5)},
        {"node_sparsity": NodeSparsity(layers=(0, 3), keep_rate=0.45)},
    ],
    ids=str,
)
@pytest.mark.parametrize("frames", [1, 3])
def test_equals_oracle(make_video, changes, frames):
    encoder = randomised(VideoEncoder(make_video(**changes))).eval()
    video = torch.randint(0, 256, (2, frames, 3, 40, 40), dtype=torch.uint8)
    patterns = encoder.patterns(frames, seed=3, step=5)
    expected, kept = oracle(encoder, video, patterns)
    output = encoder(video, patterns)
    torch.testing.assert_close(output.pooled, expected, atol=1e-5, rtol=1e-4)
    assert [[drop[clip].tolist() for drop in output.kept] for clip in range(2)] == kept

    weights = torch.randn_like(expected)
    parameters = [p for p in encoder.parameters()]
    ours = torch.autograd.grad((output.pooled * weights).sum(), parameters, allow_unused=True)
    theirs = torch.autograd.grad((expected * weights).sum(), parameters, allow_unused=True)
    for (name, _), a, b in zip(encoder.named_parameters(), ours, theirs, strict=True):
        assert (a is None) == (b is None), name
        if a is not None:
            scale = b.abs().max().item() + 1e-6
            torch.testing.assert_close(
                a, b, atol=1e-5 * max(scale, 1), rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_patterns_are_pure_and_differ_by_step_and_layer(make_video):
    encoder = VideoEncoder(make_video(node_sparsity=None))
    first, again, later = (encoder.patterns(3, seed=1, step=step) for step in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, later, strict=True))
    assert any(not torch.equal(first[0], layer) for layer in first[1:])


def test_evaluation_repeats_itself(make_video, video):
    encoder = VideoEncoder(make_video()).eval()
    torch.testing.assert_close(encoder(video).tokens, encoder(video).tokens, atol=0, rtol=0)


def test_too_many_frames_is_an_error(make_video):
    encoder = VideoEncoder(make_video())
    with pytest.raises(ValueError, match="model.video.max_frames = 3"):
        encoder(torch.zeros(1, 4, 3, 40, 40, dtype=torch.uint8))


def test_wrong_number_of_patterns_is_an_error(make_video, video):
    with pytest.raises(ValueError, match="2 patterns for 4 layers"):
        VideoEncoder(make_video())(video, [None, None])
