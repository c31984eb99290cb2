import pytest

from svitt_ego.training.schedule import learning_rate_share


def shares(warmup_steps, total_steps, final_share):
    return [
        learning_rate_share(step, warmup_steps, total_steps, final_share)
        for step in range(total_steps)
    ]


@pytest.mark.parametrize("warmup_steps", [1, 7, 100])
def test_warm_up_is_a_line_from_above_zero_to_the_peak(warmup_steps):
    found = shares(warmup_steps, 300, 0.01)
    slope = 1 / (warmup_steps + 1)
    assert found[0] == pytest.approx(slope) and found[0] > 0
    rises = [b - a for a, b in zip(found, found[1 : warmup_steps + 1], strict=False)]
    assert rises == pytest.approx([slope] * warmup_steps)
    assert found[warmup_steps] == 1.0
    assert found.index(max(found)) == warmup_steps


@pytest.mark.parametrize("final_share", [0.0, 0.01, 0.5, 1.0])
def test_the_cosine_falls_to_the_final_share_at_the_last_step_and_stays(final_share):
    found = shares(10, 211, final_share)
    assert found[-1] == pytest.approx(final_share, abs=1e-12)
    assert found[110] == pytest.approx((1 + final_share) / 2)  # half-way
    assert found[60] - final_share == pytest.approx((1 - final_share) * 0.8535533905932737)
    assert all(a >= b for a, b in zip(found[10:], found[11:], strict=False))
    assert learning_rate_share(5000, 10, 211, final_share) == pytest.approx(final_share, abs=1e-12)


def test_without_warm_up_the_first_step_is_the_peak():
    assert learning_rate_share(0, 0, 50, 0.01) == 1.0


def test_all_warm_up_rises_to_the_end():
    found = shares(20, 20, 0.01)
    assert found == sorted(found) and found[-1] < 1


@pytest.mark.parametrize("total_steps", [1, 2])
def test_the_shortest_runs_are_defined(total_steps):
    for warmup_steps in range(total_steps + 1):
        assert all(0 < share <= 1 for share in shares(warmup_steps, total_steps, 0.01))


def test_more_warm_up_than_steps_is_refused():
    with pytest.raises(AssertionError):
        learning_rate_share(0, 11, 10, 0.01)
