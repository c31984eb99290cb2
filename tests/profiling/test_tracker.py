"""Tracked bytes against bytes counted by hand."""

import gc
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from svitt_ego.profiling.ledger import StepMemory
from svitt_ego.profiling.tracker import TensorTracker

ROWS, WIDTH = 64, 32
ROW_BYTES = ROWS * WIDTH * 4
WEIGHT_BYTES = WIDTH * WIDTH * 4
SCALAR_BYTES = 4


@pytest.fixture
def x() -> Tensor:
    return torch.randn(ROWS, WIDTH)


def chain(activation: nn.Module) -> nn.Sequential:
    first, second = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
    return nn.Sequential(first, activation, second)


def tracker_of(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> TensorTracker:
    tracker = TensorTracker(keep_timeline=True)
    tracker.register("parameters", model.parameters)
    tracker.register("buffers", model.buffers)
    tracker.register(
        "gradients", lambda: (p.grad for p in model.parameters() if p.grad is not None)
    )
    tracker.watch_gradients(model)
    if optimizer:
        tracker.register(
            "optimizer_states",
            lambda: (
                value
                for state in optimizer.state.values()
                for value in state.values()
                if isinstance(value, Tensor)
            ),
        )
    return tracker


def train(model, x: Tensor, tracker: TensorTracker, optimizer=None) -> StepMemory:
    with tracker.step() as result:
        tracker.mark("inputs", [x])
        with tracker.phase("forward"):
            loss = model(x).sum()
        with tracker.phase("backward"):
            loss.backward()
        if optimizer:
            with tracker.phase("optimizer"):
                optimizer.step()
                optimizer.zero_grad()
    return result[0]


def test_chain_of_linear_layers(x: Tensor):
    model = chain(nn.ReLU())
    memory = train(model, x, tracker_of(model))
    # The second layer's input, which ReLU keeps too; its output lives until it is summed.
    assert memory.phases["forward"].peak_bytes_by_category == {
        "parameters": 2 * WEIGHT_BYTES,
        "inputs": ROW_BYTES,
        "activations": ROW_BYTES + SCALAR_BYTES,
        "temporaries": ROW_BYTES,
    }
    assert memory.peak.peak_bytes == max(peak.peak_bytes for peak in memory.phases.values())


def test_an_operation_in_place_needs_no_second_tensor(x: Tensor):
    tracker = TensorTracker()
    with tracker.step() as result:
        y = x.exp()
        for _ in range(5):
            y.mul_(2).add_(x)
    assert result[0].peak.peak_bytes_by_category == {"temporaries": ROW_BYTES, "other": ROW_BYTES}
    assert tracker.live_bytes == 2 * ROW_BYTES
    del y
    assert tracker.live_bytes == ROW_BYTES


def test_views_count_once(x: Tensor):
    tracker = TensorTracker()
    tracker.register("inputs", lambda: [x, x[1:], x.t(), x.view(-1), x.detach()])
    with tracker.step() as result:
        views = [x[3:], x.t(), x.unsqueeze(0).expand(7, -1, -1), x.view(WIDTH, ROWS)]
    assert len(views) == 4
    assert result[0].peak.peak_bytes_by_category == {"inputs": ROW_BYTES}


def test_a_tensor_that_grows(x: Tensor):
    tracker = TensorTracker()
    with tracker.step() as result:
        y = torch.empty(10)
        y.resize_(1000)
    assert result[0].peak.peak_bytes == tracker.live_bytes == 4000
    del y
    assert tracker.live_bytes == 0


BLOCKS = 4


def blocks(x: Tensor, recompute: bool) -> Tensor:
    """Each block keeps two tensors: the cosine (for sine) and its result (for exp)."""

    def block(x: Tensor) -> Tensor:
        return x.cos().sin().exp()

    for _ in range(BLOCKS):
        if recompute:
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        else:
            x = block(x)
    return x


def test_recomputation_keeps_only_the_blocks_inputs(x: Tensor):
    x.requires_grad_()
    kept, most, gradients = {}, {}, {}
    for recompute in (False, True):
        memory = train(lambda x, r=recompute: blocks(x, r), x, TensorTracker(keep_timeline=True))
        _, _, end_s = memory.timeline.phases[0]
        forward = memory.timeline.seconds <= end_s
        activations = memory.timeline.live_bytes["activations"]
        kept[recompute], most[recompute] = activations[forward][-1], activations[~forward].max()
        gradients[recompute] = x.grad
        x.grad = None
    assert kept[False] == 2 * BLOCKS * ROW_BYTES + SCALAR_BYTES
    assert kept[True] == (BLOCKS - 1) * ROW_BYTES + SCALAR_BYTES  # the first input is `x` itself
    # The last block's two tensors are back when its backward pass begins; its sine is not kept.
    assert most[True] == (BLOCKS + 1) * ROW_BYTES + SCALAR_BYTES
    torch.testing.assert_close(gradients[True], gradients[False], rtol=0, atol=0)


class KeepsInputOnly(torch.autograd.Function):
    """sin(exp(x)), both worked out again in the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.exp().sin()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        inner = ctx.saved_tensors[0].exp()
        return gradient * inner.cos() * inner


@pytest.mark.parametrize("own_function", [True, False])
def test_custom_autograd_function(x: Tensor, own_function: bool):
    function = KeepsInputOnly.apply if own_function else (lambda x: x.exp().sin())
    model = nn.Linear(WIDTH, WIDTH, bias=False)
    memory = train(lambda x: function(model(x)), x, tracker_of(model))
    split = memory.phases["forward"].peak_bytes_by_category
    # Its input; autograd's own way keeps the exponential instead, which is sine's input too.
    assert memory.timeline.live_bytes["activations"].max() == ROW_BYTES + SCALAR_BYTES
    assert split["activations"] == ROW_BYTES
    assert split["temporaries"] == 2 * ROW_BYTES


def test_optimizer_state_and_gradients(x: Tensor):
    model = chain(nn.Tanh())
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    tracker = tracker_of(model, optimizer)
    memories = [train(model, x, tracker, optimizer) for _ in range(4)]
    adam_bytes = 2 * (2 * WEIGHT_BYTES + SCALAR_BYTES)  # two moments and a count per weight
    assert "optimizer_states" not in memories[0].phases["forward"].peak_bytes_by_category
    for memory in memories[1:]:
        split = memory.phases["optimizer"].peak_bytes_by_category
        assert split["optimizer_states"] == adam_bytes
        assert split["gradients"] == split["parameters"] == 2 * WEIGHT_BYTES
        assert memory.peak == memories[1].peak
        assert memory.phases == memories[1].phases


def test_nothing_is_left_of_a_step():
    model = chain(nn.GELU())
    optimizer = torch.optim.SGD(model.parameters())
    tracker = tracker_of(model)
    train(model, torch.randn(ROWS, WIDTH), tracker, optimizer)
    gc.collect()
    assert tracker.live_bytes == 2 * WEIGHT_BYTES


def test_gradients_that_are_moved_on_at_once_are_gradients(x: Tensor):
    """As ZeRO does it: a hook of its own takes the gradient before the backward pass ends."""
    model = chain(nn.Tanh())
    tracker = tracker_of(model)

    def take(parameter: Tensor) -> None:
        parameter.grad = None

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(take)
    memory = train(model, x, tracker)
    assert memory.timeline.live_bytes["gradients"].max() == WEIGHT_BYTES
    assert memory.timeline.live_bytes["gradients"][-1] == 0


def test_fake_tensors_give_the_same_figures():
    def run() -> StepMemory:
        torch.manual_seed(0)
        model = chain(nn.GELU())
        optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
        tracker = tracker_of(model, optimizer)
        x = torch.randn(ROWS, WIDTH)
        train(model, x, tracker, optimizer)
        return train(model, x, tracker, optimizer)

    results = []
    for mode in (nullcontext(), FakeTensorMode()):
        with mode:
            results.append(run())
    assert results[0].peak == results[1].peak
    assert results[0].phases == results[1].phases


def test_a_failing_step_leaves_the_tracker_usable(x: Tensor):
    model = chain(nn.ReLU())
    tracker = tracker_of(model)
    expected = train(model, x, tracker).peak
    model.zero_grad()
    with pytest.raises(ZeroDivisionError), tracker.step() as result, tracker.phase("forward"):
        model(x).sum().item() / 0
    assert result == []
    gc.collect()
    assert train(model, x, tracker).peak == expected
