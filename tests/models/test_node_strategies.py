"""Every strategy against one written for one clip at a time, with loops.

Tolerance: float32, 1e-5 on values and gradients of order 1.
"""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from svitt_ego.config.schema import (
    EdgeSparsity,
    FusionEncoder,
    NodeSparsity,
    VideoEncoder,
)
from svitt_ego.config.schema import TextEncoder as TextRecipe
from svitt_ego.models import fusion_encoder, video_encoder
from svitt_ego.models.node_strategies import SCORED, reduce_tokens
from svitt_ego.models.recompute import STORE_ALL

SMALL_VIDEO = {"width": 16, "heads": 2, "mlp_width": 32, "image_size": 32, "patch_size": 8}
SMALL_TEXT = TextRecipe(
    layers=1, width=24, heads=3, mlp_width=40, vocabulary_size=60, max_positions=16, dropout=0.0
)
STRATEGIES = ("cls_attention", "random", "fuse", "merge")


def merged_oracle(patches, keep, sizes):
    """ToMe's rounds on lists: [(place, vector, size)]."""
    tokens = [(place, patches[place], sizes[place]) for place in range(len(patches))]
    while len(tokens) > keep:
        ours, theirs = tokens[::2], tokens[1::2]
        proposals = []
        for mine in ours:
            like = [F.cosine_similarity(mine[1], their[1], dim=0).item() for their in theirs]
            best = max(range(len(theirs)), key=like.__getitem__)
            proposals.append((like[best], mine[0], theirs[best][0]))
        accepted = sorted(proposals, reverse=True)[: min(len(tokens) - keep, len(tokens) // 2)]
        gone = {mine: their for _, mine, their in accepted}
        groups = {place: [(vector, size)] for place, vector, size in tokens if place not in gone}
        for place, vector, size in tokens:
            if place in gone:
                groups[gone[place]].append((vector, size))
        tokens = [
            (
                place,
                sum(vector * size for vector, size in group) / sum(size for _, size in group),
                sum(size for _, size in group),
            )
            for place, group in sorted(groups.items())
        ]
    return tokens


def fused_oracle(patches, keep, scores):
    """Places, and vectors with the last of the kept replaced by an average."""
    order = scores.argsort(descending=True).tolist()
    rest = order[keep - 1 :]
    average = sum(scores[place] * patches[place] for place in rest) / scores[rest].sum()
    vectors = {place: patches[place] for place in order[: keep - 1]} | {rest[0]: average}
    return sorted(vectors), torch.stack([vectors[place] for place in sorted(vectors)])


def gradients(out, x):
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return torch.autograd.grad((out * weights).sum(), x)[0]


@pytest.mark.parametrize("patches, keep", [(12, 9), (13, 5), (20, 3), (7, 1), (6, 6)])
def test_merge_equals_oracle(patches, keep):
    x = torch.randn(3, 1 + patches, 8, requires_grad=True)
    sizes = torch.randint(1, 5, (3, patches)).float()
    reduction = reduce_tokens("merge", x, keep, sizes=sizes)
    expected = []
    for row in range(3):
        tokens = merged_oracle(x[row, 1:], keep, sizes[row])
        assert reduction.kept[row].tolist() == [place for place, *_ in tokens]
        assert reduction.sizes[row].tolist() == [float(size) for *_, size in tokens]
        expected.append(torch.stack([x[row, 0]] + [vector for _, vector, _ in tokens]))
    assert reduction.sizes.sum(1).equal(sizes.sum(1))
    expected = torch.stack(expected)
    torch.testing.assert_close(reduction.tokens, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        gradients(reduction.tokens, x), gradients(expected, x), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("patches, keep", [(12, 9), (20, 3), (7, 1), (6, 6)])
@pytest.mark.parametrize("source", [None, [0, 2, 2, 1, 0]])
def test_fuse_equals_oracle(patches, keep, source):
    rows = [0, 1, 2] if source is None else source
    x = torch.randn(3, 1 + patches, 8, requires_grad=True)
    scores = torch.rand(len(rows), patches)
    index = None if source is None else torch.tensor(source)
    reduction = reduce_tokens("fuse", x, keep, cls_scores=scores, source_index=index)
    assert reduction.source_index is None
    expected = []
    for row, video in enumerate(rows):
        places, vectors = fused_oracle(x[video, 1:], keep, scores[row])
        assert reduction.kept[row].tolist() == places
        expected.append(torch.cat([x[video, :1], vectors]))
    expected = torch.stack(expected)
    torch.testing.assert_close(reduction.tokens, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        gradients(reduction.tokens, x), gradients(expected, x), rtol=0, atol=1e-5
    )


def test_fuse_where_some_attention_is_zero():
    """As fp16 scores of a sure [CLS] are: what is averaged then counts alike."""
    x = torch.randn(1, 1 + 6, 4)
    scores = torch.tensor([[0.5, 0.0, 0.0, 0.5, 0.0, 0.0]])
    tokens = reduce_tokens("fuse", x, 3, cls_scores=scores).tokens
    fused = x[:, 1:][:, scores[0] == 0].mean(1)
    differences = (tokens - fused[:, None]).abs().amax(-1)
    assert differences.min() < 1e-6
    assert torch.isfinite(tokens).all()


def test_random_takes_every_place_equally_often_in_training_and_the_same_in_evaluation():
    x = torch.randn(4000, 1 + 10, 2)
    torch.manual_seed(3)
    drawn = reduce_tokens("random", x, 4, training=True)
    torch.manual_seed(3)
    again = reduce_tokens("random", x, 4, training=True)
    assert drawn.kept.equal(again.kept) and len(drawn.kept.unique(dim=0)) > 100
    assert (drawn.kept.diff(dim=1) > 0).all()
    counts = drawn.kept.flatten().bincount(minlength=10)
    # binomial (4000, 0.4): five standard deviations
    assert (counts - 1600).abs().max() < 5 * math.sqrt(4000 * 0.4 * 0.6)
    fixed = reduce_tokens("random", x, 4)
    assert len(fixed.kept.unique(dim=0)) == 1
    assert fixed.kept.equal(reduce_tokens("random", x, 4).kept)
    for result in (drawn, fixed):
        rows = torch.arange(4000)[:, None]
        assert result.tokens[:, 1:].equal(x[rows, 1 + result.kept])
        assert result.tokens[:, 0].equal(x[:, 0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_keeping_everything_changes_nothing(strategy):
    x = torch.randn(2, 1 + 9, 4)
    reduction = reduce_tokens(strategy, x, 9, cls_scores=torch.rand(2, 9))
    assert torch.equal(reduction.kept, torch.arange(9).expand(2, -1))
    torch.testing.assert_close(reduction.tokens, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_video_encoder_goes_on_with_what_the_strategy_leaves(strategy):
    recipe = VideoEncoder(
        **SMALL_VIDEO,
        layers=3,
        initialisation="fan_in",
        edge_sparsity=EdgeSparsity(local_blocks=1, random_blocks=1, block_size=4),
        node_sparsity=NodeSparsity(layers=(0, 1), keep_rate=0.45, strategy=strategy),
    )
    encoder = video_encoder.VideoEncoder(recipe).eval()
    inputs, outputs, scores = [], [], []

    def note(_, given, returned):
        inputs.append(given)
        outputs.append(returned[0])
        scores.append(returned[1])

    for layer in encoder.layers:
        layer.register_forward_hook(note)
    out = encoder(torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8))
    assert [kept.shape for kept in out.kept] == [(2, 29), (2, 14)]
    assert out.tokens.shape == (2, 15, 16)
    sizes, positions = None, torch.arange(64).expand(2, -1)
    for index, keep in enumerate((29, 14)):
        expected = reduce_tokens(
            strategy, outputs[index], keep, cls_scores=scores[index], sizes=sizes
        )
        sizes, positions = expected.sizes, positions.gather(1, expected.kept)
        x, codes, *_ = inputs[index + 1]
        assert torch.equal(x, expected.tokens)
        assert torch.equal(out.kept[index], positions)
        assert torch.equal(codes, encoder.codes[positions])
    if strategy == "merge":
        assert sizes.sum(1).tolist() == [64.0, 64.0]


def test_encoders_draw_anew_in_training_alone():
    recipe = VideoEncoder(
        **SMALL_VIDEO,
        layers=2,
        drop_path=0.0,
        node_sparsity=NodeSparsity(layers=(0,), keep_rate=0.5, strategy="random"),
    )
    video = video_encoder.VideoEncoder(recipe)
    node = NodeSparsity(layers=(0,), keep_rate=0.5, strategy="random")
    fusion = fusion_encoder.FusionEncoder(
        FusionEncoder(layers=2, node_sparsity=node), SMALL_TEXT, 32, STORE_ALL
    )
    for parameter in [*video.parameters(), *fusion.parameters()]:
        torch.nn.init.normal_(parameter, std=0.3)
    frames = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    texts, mask = torch.randn(1, 5, 24), torch.ones(1, 5, dtype=torch.int64)
    tokens = torch.randn(1, 1 + 20, 32)

    def run(seed):
        torch.manual_seed(seed)
        return torch.cat([video(frames).tokens.flatten(), fusion(texts, mask, tokens).flatten()])

    def halves_equal(a, b):
        split = video(frames).tokens.numel()
        return torch.equal(a[:split], b[:split]), torch.equal(a[split:], b[split:])

    for encoder in (video, fusion):
        encoder.train()
    assert halves_equal(run(1), run(1)) == (True, True)
    assert halves_equal(run(1), run(2)) == (False, False)
    for encoder in (video, fusion):
        encoder.eval()
    assert halves_equal(run(1), run(2)) == (True, True)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_texts_of_one_video_see_what_each_would_see_alone(strategy):
    node = NodeSparsity(layers=(0, 1), keep_rate=0.3, strategy=strategy)
    encoder = fusion_encoder.FusionEncoder(
        FusionEncoder(layers=3, node_sparsity=node), SMALL_TEXT, 32, STORE_ALL
    ).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    texts, mask = torch.randn(4, 5, 24), torch.ones(4, 5, dtype=torch.int64)
    videos, index = torch.randn(2, 1 + 20, 32), torch.tensor([1, 0, 1, 1])
    together = encoder(texts, mask, videos, index)
    for row in range(4):
        alone = encoder(texts[row : row + 1], mask[:1], videos[index[row]][None])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plan_can_follow_without_contents(strategy):
    """No shape depends on values, so the planner's tensors without contents go through."""
    with FakeTensorMode():
        x = torch.empty(3, 1 + 13, 8, requires_grad=True)
        scores, index = torch.empty(5, 13), torch.empty(5, dtype=torch.int64)
        reduction = reduce_tokens(
            strategy, x, 4, cls_scores=scores, source_index=index, training=True
        )
        rows = 5 if strategy in SCORED else 3
        assert reduction.tokens.shape == (rows, 5, 8) and reduction.kept.shape == (rows, 4)
        reduction.tokens.sum().backward()
        assert x.grad.shape == x.shape
