"""One time of each equal interval."""

import numpy as np

from svitt_ego.data.frame_sampling import frame_times


def test_evaluation_takes_the_middles():
    assert frame_times(10.0, 18.0, 4, rng=None).tolist() == [11.0, 13.0, 15.0, 17.0]


def test_training_takes_one_random_time_of_each_interval():
    rng = np.random.default_rng(0)
    draws = np.stack([frame_times(2.0, 4.0, 5, rng) for _ in range(2000)])
    edges = np.linspace(2.0, 4.0, 6)
    assert (draws >= edges[:-1]).all() and (draws < edges[1:]).all()
    # Uniform in an interval of 0.4 s: mean in the middle, standard deviation 0.4 / sqrt(12).
    assert np.allclose(draws.mean(axis=0), (edges[:-1] + edges[1:]) / 2, atol=0.012)
    assert np.allclose(draws.std(axis=0), 0.4 / 12**0.5, rtol=0.08)


def test_same_seed_same_times():
    one, two, other = (frame_times(0.0, 1.0, 8, np.random.default_rng(s)) for s in (4, 4, 5))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
