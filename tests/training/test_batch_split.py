import random

import pytest

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.training.batch_split import BatchSplit, split_for, with_split


@pytest.mark.parametrize("over_step", [False, True])
def test_any_number_of_ranks_that_divides_takes_the_same_clips(over_step):
    for _ in range(300):
        was = BatchSplit(*(random.randint(1, 6) for _ in range(3)))
        ranks = random.randint(1, 8)
        asked = BatchSplit(ranks, was.micro_batch_size, was.gradient_accumulation_steps)
        clips = was.global_batch_size if over_step else was.world_size * was.micro_batch_size
        if clips % ranks:
            with pytest.raises(ConfigError, match="launch one of 1") as error:
                split_for(was, asked, not over_step, is_new=False)
            assert "\n" not in str(error.value)
            continue
        split = split_for(was, asked, not over_step, is_new=False)
        assert split.world_size == ranks and split.global_batch_size == was.global_batch_size
        if over_step:  # no more memory than before
            assert split == asked or split.micro_batch_size <= was.micro_batch_size
        else:  # the contrastive loss compares as many clips as before
            assert split.world_size * split.micro_batch_size == clips
            assert split.gradient_accumulation_steps == was.gradient_accumulation_steps


def test_what_is_asked_for_is_taken_where_it_fits_and_refused_where_it_does_not():
    was = BatchSplit(2, 4, 1)
    assert split_for(was, BatchSplit(1, 2, 4), True, is_new=True) == BatchSplit(1, 2, 4)
    with pytest.raises(ConfigError, match="took 8 samples .* would take 3 "):
        split_for(was, BatchSplit(1, 3, 1), True, is_new=True)
    # an adapted launch, repeated: the recipe still says what it said at first
    assert split_for(BatchSplit(1, 8, 1), BatchSplit(1, 4, 1), True, False) == BatchSplit(1, 8, 1)


def test_the_recipe_takes_the_sizes():
    training = with_split(load_recipe("demo"), BatchSplit(1, 32, 3)).training
    assert (training.micro_batch_size, training.gradient_accumulation_steps) == (32, 3)
