"""Needed operations: against the operators that run, and by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from svitt_ego.config.schema import EdgeSparsity, NodeSparsity, Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.models.attention import draw_pattern
from svitt_ego.profiling.encoder_bench.flops import (
    attended_pairs,
    forward_flops,
    masked_positions,
    needed_flops,
)
from svitt_ego.training.draws import Draws
from svitt_ego.training.rehearsal import NOUNS, SPECIAL_TOKENS, VERBS, random_batch
from svitt_ego.training.task import PretrainingTask


def recipe(video: dict | None = None, fusion: dict | None = None, **sections: dict) -> Recipe:
    small = {"width": 32, "heads": 2, "mlp_width": 48}
    dense = {"dense_attention": "materialised", "edge_sparsity": None, "node_sparsity": None}
    return Recipe.model_validate(
        {
            "name": "tiny",
            "model": {
                "video": {
                    **small,
                    "layers": 3,
                    "image_size": 32,
                    "patch_size": 8,
                    "max_frames": 2,
                    **dense,
                    **(video or {}),
                },
                "text": {
                    "width": 24,
                    "heads": 2,
                    "mlp_width": 40,
                    "layers": 2,
                    "vocabulary_size": 64,
                },
                "fusion": {"layers": 3, "node_sparsity": None, **(fusion or {})},
                "projection_width": 16,
            },
            "data": {
                "metadata": "unread.csv",
                "videos": {"root": "unread"},
                "frames": 2,
                "max_text_tokens": 12,
            },
            "training": {"micro_batch_size": 4},
            **sections,
        }
    )


def counted(run: Callable[[], Tensor]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


NODES = {"layers": [0, 1], "keep_rate": 0.7}


@pytest.mark.parametrize(
    ("video", "fusion", "negatives"),
    [
        ({}, {}, True),
        ({"node_sparsity": NODES}, {"node_sparsity": {"layers": [0], "keep_rate": 0.3}}, False),
    ],
)
def test_forward_pass_of_the_task(video: dict, fusion: dict, negatives: bool):
    own = recipe(video, fusion, objectives={"contrastive": {"scene_negatives": negatives}})
    task = PretrainingTask(SViTTEgo(own.model), own.objectives, SPECIAL_TOKENS)
    batch, draws = random_batch(own, 1), Draws(1, 1)
    masked = len(task.mask(batch, draws).positions)
    run = counted(lambda: task(batch, draws).total)
    clips = len(batch.video)
    # Not of the model: twice the search for shared tags, and cosines again to draw negatives.
    besides = 2 * 2 * clips**2 * (VERBS + NOUNS) + 2 * clips**2 * 16
    parts = forward_flops(own)
    parts["vocabulary"] *= masked / masked_positions(own)
    assert run - besides == pytest.approx(sum(parts.values()), abs=1)


class PlainLayer(nn.Module):
    """A transformer layer in operators that autograd sees, norms left out."""

    def __init__(self, width: int, mlp_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_width), nn.Linear(mlp_width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(x)


def test_step_of_a_plain_video_encoder():
    own = recipe()
    clips = 2 * 4
    patches = nn.Linear(3 * 8 * 8, 32)
    layers = nn.Sequential(*(PlainLayer(32, 48, 2) for _ in range(3)))
    cls_token = nn.Parameter(torch.zeros(clips, 1, 32))

    def step() -> Tensor:
        x = torch.cat([cls_token, patches(torch.rand(clips, 2 * 16, 3 * 8 * 8))], dim=1)
        loss = layers(x).sum()
        loss.backward()
        return loss

    parts = forward_flops(own)
    rest = sum(v for part, v in parts.items() if not part.startswith(("patch", "video")))
    assert counted(step) == needed_flops(own) - 3 * rest


@pytest.mark.parametrize("recompute", [None, {"what": "layers"}])
def test_a_step_never_does_less_than_needed(recompute: dict | None):
    sparse = {"edge_sparsity": {"random_blocks": 1, "block_size": 8}, "node_sparsity": NODES}
    for video in ({}, sparse):
        own = recipe(video, training={"micro_batch_size": 4, "recompute": recompute or {}})
        task = PretrainingTask(
            SViTTEgo(own.model, own.training.recompute), own.objectives, SPECIAL_TOKENS
        )
        batch = random_batch(own, 1)
        needed = needed_flops(own)
        performed = counted(
            lambda task=task, batch=batch: task(batch, Draws(1, 1)).total.backward()
        )
        assert needed < performed
        if recompute is None:
            # The counter misses nothing large: probabilities are computed again, no more.
            assert performed < 1.35 * needed
        plain = own.model_copy(update={"training": recipe().training})
        assert needed == needed_flops(plain)


def keys_seen(patches: int, edge: EdgeSparsity, seed: int) -> int:
    """(query, key) pairs of one drawn pattern, counted one by one; [CLS] is token 0."""
    blocks = math.ceil(patches / edge.block_size)
    pattern = draw_pattern(blocks, edge.local_blocks, edge.random_blocks, (seed, 0))
    seen = torch.zeros(1 + patches, 1 + patches, dtype=torch.bool)
    seen[0], seen[:, 0] = True, True
    block_of = torch.arange(patches) // edge.block_size
    for query in range(patches):
        seen[1 + query, 1:] = torch.isin(block_of, pattern[block_of[query]])
    return int(seen.sum())


@pytest.mark.parametrize(
    ("patches", "local", "random", "size"), [(40, 1, 3, 5), (43, 3, 2, 5), (43, 1, 3, 8)]
)
def test_attended_pairs_are_the_mean_of_drawn_patterns(patches, local, random, size):
    edge = EdgeSparsity(local_blocks=local, random_blocks=random, block_size=size)
    drawn = [keys_seen(patches, edge, seed) for seed in range(60)]
    expected = attended_pairs(patches, edge)
    if patches % size:
        assert sum(drawn) / len(drawn) == pytest.approx(expected, rel=0.01)
    else:
        assert set(drawn) == {expected}


def test_attended_pairs_by_hand():
    edge = EdgeSparsity(local_blocks=1, random_blocks=3, block_size=56)
    # 784 = 14 blocks: each patch sees [CLS] and 4 blocks; [CLS] sees everything.
    assert attended_pairs(784, edge) == 785 + 784 * (1 + 4 * 56)
    assert attended_pairs(784, None) == 785**2
    assert attended_pairs(3 * 56, edge) == (1 + 3 * 56) ** 2  # too few blocks: dense
    assert attended_pairs(4 * 56, edge) == (1 + 4 * 56) ** 2  # just enough: all are seen


def test_papers_video_encoder_by_hand():
    own = Recipe.model_validate(
        {
            "name": "paper",
            "objectives": {"contrastive": {"scene_negatives": False}},
            "data": {"metadata": "unread.csv", "videos": {"root": "unread"}},
            "training": {"micro_batch_size": 1},
        }
    )
    assert own.model.video.node_sparsity == NodeSparsity(layers=(3, 6, 9), keep_rate=0.7)
    parts = forward_flops(own)
    tokens = 4 * 785 + 3 * 550 + 3 * 386 + 2 * 271
    assert parts["video_projections"] == tokens * 2 * (4 * 768**2 + 2 * 768 * 3072)
    edge = own.model.video.edge_sparsity
    pairs = [785 + 784 * 225, *(attended_pairs(n, edge) for n in (549, 385, 270))]
    assert parts["video_attention"] == pytest.approx(
        4 * 768 * sum(layers * n for layers, n in zip((4, 3, 3, 2), pairs, strict=True))
    )
    # 15 of 30 words; one clip has no negative to match.
    assert parts["vocabulary"] == 15 * 2 * (768**2 + 768 * 30522)
    texts = 1 + 1
    text_layer = 32 * 2 * (4 * 768**2 + 2 * 768 * 3072) + 4 * 32 * 32 * 768
    assert parts["text"] == 9 * texts * text_layer
    # Layers 0 and 1 see 271 video tokens, whose keys both texts share; layer 2 sees 1 + 27 each.
    cross = 3 * 32 * 2 * 2 * 768**2 + 4 * 32 * (2 * 271 + 28) * 768
    keys_and_values = 2 * 2 * 768**2 * (2 * 271 + texts * 28)
    assert parts["fusion"] == texts * (3 * text_layer + cross) + keys_and_values


def test_objectives_without_weight_need_nothing():
    alone = {"contrastive": {}, "vtm": {"weight": 0.0}, "mlm": {"weight": 0.0}}
    parts = forward_flops(recipe(objectives=alone))
    assert parts["fusion"] == parts["vocabulary"] == 0
    assert parts["text"] == forward_flops(recipe())["text"] * 8 / 12
