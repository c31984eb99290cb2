"""Every way to compute attention, against the oracle: values and gradients."""

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.utils.checkpoint import checkpoint

from svitt_ego.models.attention import attention, tiled
from svitt_ego.models.attention.flex import fused_attention

SPARSITIES = [(1, 0), (1, 1), (1, 3), (3, 0), (3, 1), (5, 0), (3, 2), (5, 1)]


@pytest.fixture(params=["one tile a sample or more", "about a head a tile", "many tiles"])
def tiles(request, monkeypatch):
    """Inputs of tests are small: also cut them as finely as large ones are cut."""
    if request.param == "about a head a tile":
        cut_finely(monkeypatch, 6000)
    if request.param == "many tiles":
        cut_finely(monkeypatch, 400)


def cut_finely(monkeypatch, tile_bytes):
    monkeypatch.setitem(tiled.TILE_BYTES, "cpu", tile_bytes)
    monkeypatch.setattr(tiled, "LEAST_QUERIES", 1)
    monkeypatch.setattr(tiled, "LEAST_HEADS", 1)


def gradients(out, case, seed=1):
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(out.shape, generator=generator).to(out.dtype)
    return torch.autograd.grad(out, case.leaves, direction)


def check(case, oracle, tolerance=1e-5, **options):
    expected, expected_scores = oracle(case)
    out, scores = attention(
        *case.arguments,
        pattern=case.pattern,
        block_size=case.block_size,
        need_cls_scores=True,
        **options,
    )
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(scores, expected_scores, rtol=tolerance, atol=tolerance)
    assert not scores.requires_grad
    for got, want in zip(gradients(out, case), gradients(expected, case), strict=True):
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("materialise", [True, False])
@pytest.mark.parametrize("patches", [None, 17])
@pytest.mark.parametrize("batch", [1, 3])
def test_dense_equals_oracle(make_case, oracle, tiles, materialise, patches, batch):
    check(make_case(patches, batch=batch), oracle, materialise=materialise)


@pytest.mark.parametrize("local,others", SPARSITIES)
@pytest.mark.parametrize("patches,block_size", [(None, 6), (34, 6), (29, 5), (31, 5)])
def test_sparse_equals_oracle(make_case, oracle, tiles, local, others, patches, block_size):
    """6 or 7 blocks, so (5, 1) and the like are all blocks or nearly; 34, 29 and 31 patches leave
    a shorter last block."""
    check(make_case(patches, (local, others, block_size), seed=local + others), oracle)


@pytest.mark.parametrize("batch", [1, 3])
def test_sparse_of_other_batches(make_case, oracle, tiles, batch):
    check(make_case(23, (1, 1, 5), batch=batch), oracle)


def test_all_blocks_are_dense_attention(make_case):
    case = make_case(29, (3, 3, 5))
    sparse, _ = attention(*case.arguments, pattern=case.pattern, block_size=5)
    dense, _ = attention(*case.arguments)
    torch.testing.assert_close(sparse, dense, rtol=1e-5, atol=1e-5)


def test_fewer_frames_than_the_table(make_case, oracle):
    """A clip of one frame uses the middle of a table of three."""
    case = make_case()
    patches = 4 * 3
    case.codes, case.kept = case.codes[:, :patches], case.kept[:, :patches]
    case.q, case.k, case.v = (x[:, :, : 1 + patches] for x in (case.q, case.k, case.v))
    check(case, oracle)


@pytest.mark.parametrize("sparsity", [None, (1, 1, 2)])
def test_gradcheck(make_case, monkeypatch, sparsity):
    cut_finely(monkeypatch, 320)
    case = make_case(5, sparsity, heads=2, head_dim=2, grid=(2, 2, 2), dtype=torch.float64)

    def run(*leaves):
        return attention(*leaves, case.codes, pattern=case.pattern, block_size=case.block_size)[0]

    assert torch.autograd.gradcheck(run, case.leaves)


@pytest.mark.parametrize("in_hardware", [True, False])
@pytest.mark.parametrize("materialise,sparsity", [(True, None), (False, None), (False, (1, 1, 5))])
def test_bfloat16(make_case, oracle, monkeypatch, materialise, sparsity, in_hardware):
    """2% of the largest value: inputs and outputs have 8 bits, and so have the scores where the
    CPU computes them."""
    monkeypatch.setattr(tiled, "cpu_computes_bf16", lambda: in_hardware)
    case = make_case(13, sparsity)
    for leaf in case.leaves:
        leaf.data = leaf.data.bfloat16().float()
    expected, expected_scores = oracle(case)
    expected = expected, *gradients(expected, case)
    for name in ("q", "k", "v", "bias_table"):
        setattr(case, name, getattr(case, name).detach().bfloat16().requires_grad_())
    out, scores = attention(
        *case.arguments,
        pattern=case.pattern,
        block_size=case.block_size,
        materialise=materialise,
        need_cls_scores=True,
    )
    assert scores.dtype == torch.float32  # tokens are chosen by it
    torch.testing.assert_close(scores, expected_scores, rtol=1e-5, atol=1e-6)
    for got, want in zip((out, *gradients(out, case)), expected, strict=True):
        assert got.dtype == torch.bfloat16
        assert (got.float() - want).abs().max() < 0.02 * want.abs().max()


def reference_kernel(q, k, v, score_mod):
    """What FlexAttention documents: score_mod(score, batch, head, query, key) before softmax."""
    scores = q @ k.mT * q.shape[-1] ** -0.5
    indices = torch.meshgrid(*(torch.arange(n) for n in scores.shape), indexing="ij")
    return score_mod(scores, *indices).softmax(-1) @ v


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("patches", [None, 17])
def test_fused_kernel_gets_the_right_bias(make_case, oracle, patches):
    """FlexAttention serves CUDA. On a CPU it has no backward pass, but its bias has one."""
    case = make_case(patches, head_dim=16)
    expected, _ = oracle(case)
    out = fused_attention(*case.arguments, kernel=reference_kernel)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    for got, want in zip(gradients(out, case), gradients(expected, case), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    detached = [x.detach() for x in case.arguments]
    out = fused_attention(*detached, kernel=flex_attention)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("sparsity", [None, (1, 1, 5)])
@pytest.mark.parametrize(
    "dtype,tolerance", [(torch.float32, 1e-3), (torch.bfloat16, 4e-2), (torch.float16, 1e-2)]
)
def test_on_cuda(make_case, oracle, sparsity, dtype, tolerance):
    """Tolerances as a share of the largest value."""
    case = make_case(29, sparsity, head_dim=16)
    for leaf in case.leaves:
        leaf.data = leaf.data.to(dtype).float()
    expected, expected_scores = oracle(case)
    *tensors, codes = case.arguments
    out, scores = attention(
        *(x.to("cuda", dtype) for x in tensors),
        codes.cuda(),
        pattern=case.pattern,
        block_size=case.block_size,
        need_cls_scores=True,
    )
    torch.testing.assert_close(scores.cpu(), expected_scores, rtol=1e-4, atol=1e-4)
    got, want = gradients(out.float().cpu(), case), gradients(expected, case)
    for ours, theirs in zip((out.float().cpu(), *got), (expected, *want), strict=True):
        assert (ours - theirs).abs().max() < tolerance * theirs.abs().max()


@pytest.mark.parametrize("sparsity", [None, (1, 1, 5)])
def test_keeps_nothing_but_its_inputs(make_case, sparsity):
    case = make_case(29, sparsity)
    inputs = {
        x.untyped_storage().data_ptr() for x in (*case.arguments, case.pattern) if x is not None
    }
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        attention(*case.arguments, pattern=case.pattern, block_size=case.block_size)
    assert {x.untyped_storage().data_ptr() for x in kept} == inputs


def test_materialised_keeps_probabilities_once(make_case):
    case = make_case(29)
    kept = {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        attention(*case.arguments, materialise=True)
    pairs = 2 * 3 * 30 * 30
    assert [x.numel() for x in kept.values() if x.numel() >= pairs] == [pairs]


@pytest.mark.parametrize("materialise,sparsity", [(True, None), (False, None), (False, (1, 1, 5))])
def test_recomputed_and_frozen(make_case, materialise, sparsity):
    """Under activation checkpointing, and with a frozen table and frozen keys."""
    case = make_case(29, sparsity)

    def run(*leaves):
        return attention(
            *leaves,
            case.codes,
            pattern=case.pattern,
            block_size=case.block_size,
            materialise=materialise,
        )[0]

    expected = gradients(run(*case.leaves), case)
    recomputed = gradients(checkpoint(run, *case.leaves, use_reentrant=False), case)
    for got, want in zip(recomputed, expected, strict=True):
        assert torch.equal(got, want)
    out = run(case.q, case.k.detach(), case.v, case.bias_table.detach())
    dq, dv = torch.autograd.grad(out, (case.q, case.v), torch.ones_like(out))
    out = run(*case.leaves)
    want_q, want_v = torch.autograd.grad(out, (case.q, case.v), torch.ones_like(out))
    assert torch.equal(dq, want_q) and torch.equal(dv, want_v)


@pytest.mark.parametrize("materialise,sparsity", [(True, None), (False, None), (False, (1, 1, 5))])
def test_shapes_without_values(make_case, materialise, sparsity):
    """Runs on meta tensors, so nothing branches on values."""
    case = make_case(29, sparsity)
    leaves = [x.detach().to("meta").requires_grad_() for x in case.leaves]
    out, scores = attention(
        *leaves,
        case.codes.to("meta"),
        pattern=None if case.pattern is None else case.pattern.to("meta"),
        block_size=case.block_size,
        materialise=materialise,
        need_cls_scores=True,
    )
    assert out.shape == (2, 30, 24) and scores.shape == (2, 29)
    grads = torch.autograd.grad(out, leaves, torch.empty_like(out))
    assert [g.shape for g in grads] == [x.shape for x in leaves]


def test_pattern_of_another_length_is_refused(make_case):
    case = make_case(29, (1, 1, 5))
    with pytest.raises(AssertionError, match="pattern of 6 blocks, not 8"):
        attention(*case.arguments, pattern=case.pattern, block_size=4)


@pytest.mark.parametrize("sparsity", [None, (1, 1, 5)])
def test_no_clips(make_case, sparsity):
    case = make_case(sparsity=sparsity, batch=0)
    out, scores = attention(
        *case.arguments, pattern=case.pattern, block_size=case.block_size, need_cls_scores=True
    )
    assert out.shape == (0, 37, 24) and scores.shape == (0, 36)
    assert all(g.abs().sum() == 0 for g in gradients(out, case))
