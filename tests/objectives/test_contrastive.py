"""EgoNCE and InfoNCE against EgoVLP's formula, written out naively in double precision."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from svitt_ego.objectives import egonce, infonce, positives


def naive_egonce(text, video, temperature, positive_mask):
    """-mean_i log(sum of softmax over positives), one clip at a time, both directions."""
    loss = torch.zeros((), dtype=torch.float64)
    for queries, keys in ((text, video), (video, text)):
        for i, query in enumerate(queries):
            exponentials = [torch.exp(query @ key / temperature) for key in keys]
            of_positives = sum(
                e for e, yes in zip(exponentials, positive_mask[i], strict=True) if yes
            )
            loss = loss - torch.log(of_positives / sum(exponentials)) / len(queries)
    return loss


def make_features(seed, clips=9, width=16):
    generator = torch.Generator().manual_seed(seed)
    text, video = torch.randn(2, clips, width, generator=generator, dtype=torch.float64)
    verbs = torch.rand(clips, 4, generator=generator) < 0.4
    nouns = torch.rand(clips, 5, generator=generator) < 0.4
    return normalize(text, dim=1), normalize(video, dim=1), verbs, nouns


def gradients(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("seed", range(5))
def test_positives_share_a_verb_and_a_noun(seed):
    _, _, verbs, nouns = make_features(seed, clips=20)
    found = positives(verbs, nouns)
    as_sets = [
        ({v for v in range(4) if verbs[i, v]}, {n for n in range(5) if nouns[i, n]})
        for i in range(20)
    ]
    for i in range(20):
        for j in range(20):
            share = as_sets[i][0] & as_sets[j][0] and as_sets[i][1] & as_sets[j][1]
            assert found[i, j].item() == (i == j or bool(share))


def test_a_clip_without_tags_is_its_own_positive():
    untagged = torch.zeros(3, 4, dtype=torch.bool)
    assert torch.equal(positives(untagged, untagged), torch.eye(3, dtype=torch.bool))


@pytest.mark.parametrize("seed", range(3))
def test_egonce_equals_the_formula_in_value_and_gradient(seed):
    text, video, verbs, nouns = make_features(seed)
    temperature = torch.tensor(0.07, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for x in (text, video, temperature)]
    mask = positives(verbs, nouns)
    assert mask.sum() > len(text)  # more than the diagonal
    ours = egonce(*inputs, mask)
    expected = naive_egonce(*inputs, mask)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(gradients(ours, *inputs), gradients(expected, *inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_loss_is_computed_in_fp32_whatever_the_features(dtype):
    text, video, verbs, nouns = make_features(7)
    mask = positives(verbs, nouns)
    text, video = text.to(dtype), video.to(dtype)
    ours = egonce(text, video, 0.07, mask)
    assert ours.dtype == torch.float32
    expected = egonce(text.double(), video.double(), 0.07, mask)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)


def test_infonce_is_cross_entropy_with_the_diagonal():
    text, video, _, _ = make_features(3)
    scores = text @ video.T / 0.05
    itself = torch.arange(len(text))
    expected = cross_entropy(scores, itself) + cross_entropy(scores.T, itself)
    torch.testing.assert_close(infonce(text, video, 0.05), expected)


def test_more_positives_lower_the_loss_to_zero():
    text, video, _, _ = make_features(4)
    everything = torch.ones(9, 9, dtype=torch.bool)
    assert egonce(text, video, 0.07, everything).abs() < 1e-12
    assert infonce(text, video, 0.07) > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.07, 0.001])
def test_hopeless_positives_do_not_underflow(dtype, temperature):
    """Text i is the exact opposite of clip i and equals clip j: the pair's softmax is
    exp(-2 / temperature), which is 0 in half precision."""
    direction = normalize(torch.randn(1, 16), dim=1)
    text = torch.cat([direction, -direction]).to(dtype).requires_grad_()
    video = torch.cat([-direction, direction]).to(dtype).requires_grad_()
    squared = text[0].detach().double().square().sum().item()  # not quite 1 after rounding
    loss = infonce(text, video, temperature)
    assert loss.item() == pytest.approx(2 * 2 * squared / temperature, rel=1e-3)
    for gradient in gradients(loss, text, video):
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_similarities_stay_fp32_under_autocast():
    text, video, verbs, nouns = (x.float() for x in make_features(5))
    mask = positives(verbs.bool(), nouns.bool())
    plain = egonce(text, video, 0.01, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(egonce(text, video, 0.01, mask), plain)


def test_an_untrained_model_starts_near_log_of_the_batch():
    text = video = normalize(torch.ones(8, 4), dim=1)
    assert infonce(text, video, 0.07).item() == pytest.approx(2 * math.log(8), rel=1e-6)
