"""Batches: shapes, contents, the same for any number of workers and after a restart."""

import pytest
import torch

from svitt_ego.config.schema import Augmentation
from svitt_ego.data.batch import StoredBatch
from svitt_ego.data.dataset import UnreadableVideos
from svitt_ego.data.loader import build_loader
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.text import load_tokenizer


@pytest.fixture
def table(recipe):
    return ClipTable.open(recipe.data.metadata)


@pytest.fixture
def tokenizer(recipe):
    return load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)


def with_workers(recipe, workers):
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"workers": workers})})


def same(one, two):
    tensors = ("video", "text_ids", "text_mask", "verb_tags", "noun_tags", "rows")
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in tensors)


def test_a_batch_has_anchors_then_their_negatives(recipe, table, tokenizer):
    batch = next(iter(build_loader(recipe, table, tokenizer)))
    assert batch.anchors == 4 and batch.rows.shape == (8,)
    assert batch.video.shape == (8, 3, 3, 32, 32) and batch.video.dtype == torch.uint8
    assert batch.text_ids.shape == batch.text_mask.shape == (8, int(batch.text_mask.sum(1).max()))
    assert batch.verb_tags.shape == (8, table.verb_classes) == (8, 3)
    assert batch.noun_tags.shape == (8, table.noun_classes) == (8, 5)
    assert batch.verb_tags.dtype == batch.noun_tags.dtype == torch.bool
    for place, row in enumerate(batch.rows.tolist()):
        clip = table[row]
        assert batch.verb_tags[place].nonzero().flatten().tolist() == sorted(clip.verbs)
        assert batch.noun_tags[place].nonzero().flatten().tolist() == sorted(clip.nouns)
        ids = batch.text_ids[place][batch.text_mask[place].bool()]
        assert ids.tolist() == tokenizer(clip.text)["input_ids"]
    for anchor, negative in batch.rows.view(2, 4).T.tolist():
        assert table[anchor].video_uid == table[negative].video_uid and anchor != negative
    assert batch.random_negatives == 0 and batch.faults == ()


def test_without_scene_negatives_there_are_anchors_only(recipe, table, tokenizer):
    contrastive = recipe.objectives.contrastive.model_copy(update={"scene_negatives": False})
    objectives = recipe.objectives.model_copy(update={"contrastive": contrastive})
    loader = build_loader(recipe.model_copy(update={"objectives": objectives}), table, tokenizer)
    batch = next(iter(loader))
    assert batch.anchors == len(batch.rows) == len(batch.video) == 4


def with_positives(recipe):
    contrastive = recipe.objectives.contrastive.model_copy(update={"action_positives": True})
    objectives = recipe.objectives.model_copy(update={"contrastive": contrastive})
    return recipe.model_copy(update={"objectives": objectives})


def test_action_positives_come_last(recipe, table, tokenizer):
    batch = next(iter(build_loader(with_positives(recipe), table, tokenizer)))
    assert batch.anchors == 4 and len(batch.rows) == len(batch.video) == len(batch.text_ids) == 12
    assert (batch.verb_tags[:4] & batch.verb_tags[8:]).any(dim=1).all()
    assert (batch.noun_tags[:4] & batch.noun_tags[8:]).any(dim=1).all()


def test_resizing_on_the_device_changes_nothing_but_where_it_is_done(recipe, table, tokenizer):
    """As with a GPU, on the CPU: frames travel at their stored size."""
    augmentation = Augmentation(crop_scale=(0.3, 1.0), horizontal_flip=True)
    data = recipe.data.model_copy(update={"augmentation": augmentation})
    loader = build_loader(recipe.model_copy(update={"data": data}), table, tokenizer)
    in_workers = list(loader)
    loader.collate_fn._finish_on_device = True
    on_device = list(loader)
    assert all(isinstance(batch, StoredBatch) for batch in on_device)
    assert all(batch.clips.pixels.dtype == torch.uint8 for batch in on_device)
    assert len({shape[1:3] for batch in on_device for shape in batch.clips.shapes}) > 10
    cpu = torch.device("cpu")
    assert all(same(a.to(cpu), b) for a, b in zip(on_device, in_workers, strict=True))


def test_workers_ranks_and_restarts_change_nothing(recipe, table, tokenizer):
    """24 rows, global batch 8: 3 steps an epoch, 6 in all."""
    whole = [
        list(build_loader(recipe, table, tokenizer, rank=rank, world_size=2)) for rank in (0, 1)
    ]
    assert len(whole[0]) == len(whole[1]) == 6
    resumed = build_loader(with_workers(recipe, 2), table, tokenizer, 1, 2, start_step=4)
    assert len(resumed) == 2
    assert all(same(a, b) for a, b in zip(resumed, whole[1][4:], strict=True))
    anchors = [row for batches in whole for batch in batches[:3] for row in batch.rows[:4].tolist()]
    assert sorted(anchors) == list(range(24))


def test_resuming_at_another_number_of_ranks_and_workers_gives_the_same_global_batches(
    recipe, table, tokenizer
):
    """Global batch 8: two ranks of 4, then from the middle of an epoch one rank of 8."""
    whole = [
        list(build_loader(recipe, table, tokenizer, rank=rank, world_size=2)) for rank in (0, 1)
    ]
    training = recipe.training.model_copy(update={"micro_batch_size": 8})
    alone = with_workers(recipe.model_copy(update={"training": training}), 2)
    resumed = list(build_loader(alone, table, tokenizer, start_step=2))
    assert len(resumed) == 4
    for place, batch in enumerate(resumed, start=2):
        for half in (0, 1):
            anchors, negatives = slice(4 * half, 4 * half + 4), slice(8 + 4 * half, 12 + 4 * half)
            of_rank = whole[half][place]
            assert torch.equal(batch.rows[anchors], of_rank.rows[:4])
            assert torch.equal(batch.video[anchors], of_rank.video[:4])
            assert torch.equal(batch.rows[negatives], of_rank.rows[4:])
            assert torch.equal(batch.video[negatives], of_rank.video[4:])


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_readable_is_one_line_from_a_worker_too(
    recipe, table, tokenizer, workers, tmp_path
):
    videos = recipe.data.videos.model_copy(update={"root": str(tmp_path)})
    data = recipe.data.model_copy(update={"videos": videos, "workers": workers})
    loader = build_loader(recipe.model_copy(update={"data": data}), table, tokenizer)
    with pytest.raises(UnreadableVideos) as caught:
        next(iter(loader))
    assert str(caught.value).startswith("20 clips in a row") and "\n" not in str(caught.value)


def test_the_global_generator_is_left_alone(recipe, table, tokenizer):
    before = torch.get_rng_state()
    next(iter(build_loader(with_workers(recipe, 1), table, tokenizer)))
    assert torch.equal(torch.get_rng_state(), before)


def test_moving_a_batch_keeps_everything(recipe, table, tokenizer):
    batch = next(iter(build_loader(recipe, table, tokenizer)))
    moved = batch.to(torch.device("cpu"))
    assert same(moved, batch) and moved.anchors == batch.anchors
    assert batch.to(torch.device("meta")).video.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs CUDA")
def test_batches_are_page_locked_for_a_gpu(recipe, table, tokenizer):
    batch = next(iter(build_loader(recipe, table, tokenizer)))
    assert batch.video.is_pinned() and batch.text_ids.is_pinned()
    assert same(batch.to(torch.device("cuda")).to(torch.device("cpu")), batch)
