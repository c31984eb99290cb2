"""The same global batches however they are split, and from whichever step one starts."""

import numpy as np
import pytest

from svitt_ego.config import ConfigError
from svitt_ego.data.sampler import EpochSampler

ROWS, SHARE, EPOCHS, GLOBAL = 101, 1.0, 3, 12


def samplers(world_size, micro, accumulation, **changes):
    arguments = {"rows": ROWS, "share": SHARE, "seed": 9, "epochs": EPOCHS} | changes
    return [
        EpochSampler(
            micro_batch_size=micro,
            gradient_accumulation_steps=accumulation,
            rank=rank,
            world_size=world_size,
            **arguments,
        )
        for rank in range(world_size)
    ]


def global_batches(world_size, micro, accumulation, **changes):
    """Per step, per accumulation step: the rows of all ranks in rank order."""
    of_ranks = [list(s) for s in samplers(world_size, micro, accumulation, **changes)]
    together = [sum(parts, []) for parts in zip(*of_ranks, strict=True)]
    return [together[i : i + accumulation] for i in range(0, len(together), accumulation)]


def flat(steps):
    return [sum(step, []) for step in steps]


@pytest.mark.parametrize(
    "split", [(1, 12, 1), (2, 6, 1), (3, 4, 1), (4, 3, 1), (2, 3, 2), (1, 2, 6)]
)
def test_global_batches_do_not_depend_on_the_split(split):
    reference = global_batches(1, 12, 1)
    assert flat(global_batches(*split)) == flat(reference)
    assert len(reference) == EPOCHS * (ROWS // GLOBAL)


def test_global_micro_batches_do_not_depend_on_the_number_of_ranks():
    assert global_batches(1, 6, 2) == global_batches(2, 3, 2) == global_batches(3, 2, 2)


def test_an_epoch_has_no_row_twice_and_loses_less_than_a_batch():
    batches = flat(global_batches(2, 3, 2))
    for epoch in range(EPOCHS):
        keys = [key for batch in batches for key in batch if key[0] == epoch]
        rows = {row for _, row in keys}
        assert len(keys) == len(rows) == ROWS // GLOBAL * GLOBAL
        assert rows <= set(range(ROWS))


def test_epochs_and_seeds_differ_in_order():
    batches = flat(global_batches(1, 12, 1))
    epochs = [[row for batch in batches for e, row in batch if e == epoch] for epoch in range(3)]
    other = flat(global_batches(1, 12, 1, seed=10))
    assert epochs[0] != epochs[1] != epochs[2]
    assert batches != other
    assert batches == flat(global_batches(1, 12, 1))


@pytest.mark.parametrize("done", [0, 1, 7, 8, 9, 16, 23, 24])
@pytest.mark.parametrize("split", [(1, 12, 1), (3, 2, 2)])
def test_resuming_at_any_step_and_world_size_continues_exactly(done, split):
    uninterrupted = flat(global_batches(2, 6, 1))
    assert len(uninterrupted) == 24
    assert flat(global_batches(*split, start_step=done)) == uninterrupted[done:]


@pytest.mark.parametrize("done", [0, 5, 24, 30])
def test_length_is_the_number_of_micro_batches_to_come(done):
    (sampler,) = samplers(1, 3, 4, start_step=done)
    assert len(sampler) == len(list(sampler)) == 4 * max(0, 24 - done)
    assert (sampler.steps_per_epoch, sampler.steps, sampler.global_batch_size) == (8, 24, 12)


def test_a_share_of_the_rows_is_another_random_part_each_epoch():
    batches = flat(global_batches(1, 10, 1, share=0.1, rows=1000, epochs=2))
    assert len(batches) == 20
    first, second = ({row for b in batches for e, row in b if e == epoch} for epoch in range(2))
    assert len(first) == len(second) == 100
    assert len(first & second) < 30  # 10 expected
    assert np.std(sorted(first)) > 200  # spread over the table, not its head: 289 expected


def test_too_few_rows_for_a_step_name_all_that_multiplies():
    with pytest.raises(ConfigError, match=r"an epoch has 10 samples .* 0\.1 of 101.*takes 12.*= 3"):
        samplers(2, 3, 2, share=0.1)
