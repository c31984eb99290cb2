"""Samples: the right frames, reproducible draws, unreadable clips replaced and reported."""

import shutil

import pytest
import torch

from svitt_ego.config.schema import Contrastive
from svitt_ego.data.batch import Fault
from svitt_ego.data.dataset import EgoClipDataset, UnreadableVideos, allowed_attempts
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.skip_list import write_skip_list
from tests.data.ego_files import frame_numbers, write_audio, write_egoclip, write_video

FPS, VIDEO_FRAMES = 10, 100  # of the world


def dataset_of(recipe, scene_negatives=True, positives=False, **data):
    return EgoClipDataset(
        ClipTable.open(data.get("metadata", recipe.data.metadata)),
        recipe.data.model_copy(update=data),
        seed=recipe.seed,
        contrastive=Contrastive(scene_negatives=scene_negatives, action_positives=positives),
    )


def with_root(recipe, root):
    return {"videos": recipe.data.videos.model_copy(update={"root": str(root)})}


@pytest.fixture
def own_videos(world, tmp_path):
    """A copy of the videos that a test may break."""
    return shutil.copytree(world / "videos", tmp_path / "videos")


def expected_frames(clip, frames):
    """(first, last) number that each of the clip's intervals allows."""
    video = int(clip.video_uid.removeprefix("video"))
    length = (clip.end_s - clip.start_s) / frames
    edges = [clip.start_s + i * length for i in range(frames + 1)]
    return [
        (int(a * FPS) + video * VIDEO_FRAMES, int(b * FPS) + video * VIDEO_FRAMES)
        for a, b in zip(edges, edges[1:], strict=False)
    ]


def test_each_frame_comes_from_its_interval_of_the_clip(recipe):
    dataset = dataset_of(recipe)
    for row in range(len(dataset)):
        sample = dataset[(0, row)]
        for clip in (sample.anchor, sample.negative):
            assert clip.video.shape == (3, 3, 64, 64) and clip.video.dtype == torch.uint8
            allowed = expected_frames(dataset.table[clip.row], 3)
            for number, (first, last) in zip(frame_numbers(clip.video), allowed, strict=True):
                assert first <= number <= last
            assert clip.text == dataset.table[clip.row].text
        assert sample.anchor.row == row != sample.negative.row
        assert not sample.faults and not sample.negative_is_random


def test_scene_negatives_can_be_switched_off(recipe):
    sample, reference = (dataset_of(recipe, flag)[(0, 0)] for flag in (False, True))
    assert sample.negative is None and reference.negative is not None
    assert torch.equal(sample.anchor.video, reference.anchor.video)


def test_a_sample_depends_on_seed_epoch_and_row_alone(recipe):
    one, two = dataset_of(recipe), dataset_of(recipe)
    list(map(one.__getitem__, [(0, 5), (1, 2)]))  # other reads before change nothing
    for key in ((0, 3), (4, 3)):
        a, b = one[key], two[key]
        assert torch.equal(a.anchor.video, b.anchor.video) and a.negative.row == b.negative.row
        assert torch.equal(a.negative.video, b.negative.video)
    epochs = [frame_numbers(one[(epoch, 3)].anchor.video) for epoch in range(6)]
    assert len({tuple(numbers) for numbers in epochs}) > 1
    assert len({one[(epoch, 3)].negative.row for epoch in range(12)}) > 1
    other = dataset_of(recipe.model_copy(update={"seed": 4}))
    numbers = [frame_numbers(other[(epoch, 3)].anchor.video) for epoch in range(6)]
    assert numbers != epochs


def test_global_random_state_is_neither_used_nor_changed(recipe):
    dataset = dataset_of(recipe)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = dataset[(0, 3)].anchor.video
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(dataset[(0, 3)].anchor.video, first)


def test_a_corrupt_file_among_good_ones_is_replaced_and_reported(recipe, own_videos):
    bad = own_videos / "video1" / "0.mp4"
    bad.write_bytes(b"not a video")
    dataset = dataset_of(recipe, **with_root(recipe, own_videos))
    intact = dataset_of(recipe)
    replaced = 0
    for row in range(len(dataset)):
        sample, reference = dataset[(0, row)], intact[(0, row)]
        assert all((fault.path, fault.cause) == (str(bad), "corrupt") for fault in sample.faults)
        if not sample.faults:
            assert torch.equal(sample.anchor.video, reference.anchor.video)
            assert torch.equal(sample.negative.video, reference.negative.video)
            continue
        replaced += 1
        assert sample.anchor.row != sample.negative.row
        again = dataset[(0, row)]
        assert (again.anchor.row, again.negative.row) == (sample.anchor.row, sample.negative.row)
        for clip in (sample.anchor, sample.negative):
            allowed = expected_frames(dataset.table[clip.row], 3)
            pairs = zip(frame_numbers(clip.video), allowed, strict=True)
            assert all(first <= number <= last for number, (first, last) in pairs)
        if sample.anchor.row == row:
            assert sample.negative_is_random
    assert replaced >= 2  # at least the two rows wholly in that chunk


def test_the_anchor_never_replaces_its_own_negative(recipe, tmp_path):
    rows = [
        {"video_uid": "video0", "clip_start": 1, "clip_end": 2},
        {"video_uid": "not-there", "clip_start": 1, "clip_end": 2},
        {"video_uid": "video2", "clip_start": 1, "clip_end": 2},
    ]
    table = write_egoclip(tmp_path / "egoclip.csv", rows)
    dataset = dataset_of(recipe, metadata=str(table))
    samples = [dataset[(epoch, 0)] for epoch in range(20)]
    assert all(sample.negative.row == 2 and sample.negative_is_random for sample in samples)
    assert any(sample.faults for sample in samples)


def test_a_clip_past_the_end_of_its_video_is_replaced(recipe, world, tmp_path):
    rows = [
        {"video_uid": "video0", "clip_start": 9, "clip_end": 14},
        {"video_uid": "video0", "clip_start": 1, "clip_end": 2},
        {"video_uid": "video2", "clip_start": 1, "clip_end": 2},
    ]
    table = write_egoclip(tmp_path / "egoclip.csv", rows)
    sample = dataset_of(recipe, metadata=str(table))[(0, 0)]
    assert sample.anchor.row in (1, 2)
    assert {fault.cause for fault in sample.faults} <= {"past the end", "missing"}


def test_nothing_readable_gives_up_with_one_error(recipe, tmp_path):
    dataset = dataset_of(recipe, **with_root(recipe, tmp_path))
    with pytest.raises(UnreadableVideos, match=rf"20 clips in a row.*root '{tmp_path}'"):
        dataset[(0, 0)]


def test_a_share_that_the_recipe_allows_does_not_end_a_run():
    """Giving up by chance: less than once in 10^12 clips, up to a share of 0.99."""
    for share in (0.0, 0.1, 0.3, 0.5, 0.9, 0.99):
        assert share ** allowed_attempts(share) < 1e-12 * (1 + 1e-9)
    assert [allowed_attempts(share) for share in (0.0, 0.1, 0.9, 1.0)] == [20, 20, 263, 10_000]


def test_few_readable_clips_are_enough_where_the_recipe_says_so(recipe, tmp_path):
    lost = [{"video_uid": f"lost{n}", "clip_start": 1, "clip_end": 2} for n in range(70)]
    there = [{"video_uid": f"video{v}", "clip_start": 1, "clip_end": 2} for v in (0, 2)]
    table = str(write_egoclip(tmp_path / "egoclip.csv", lost + there))
    with pytest.raises(UnreadableVideos):
        list(map(dataset_of(recipe, metadata=table).__getitem__, [(0, row) for row in range(20)]))
    dataset = dataset_of(recipe, metadata=table, max_unreadable_share=0.98)
    for row in range(20):
        sample = dataset[(0, row)]
        assert {sample.anchor.row, sample.negative.row} == {70, 71}


def test_a_positive_shows_the_action_of_its_anchor(recipe):
    dataset = dataset_of(recipe, positives=True)
    others = 0
    for row in range(len(dataset)):
        sample, again = dataset[(0, row)], dataset[(0, row)]
        assert sample.positive.row == again.positive.row
        assert torch.equal(sample.positive.video, again.positive.video)
        assert set(sample.positive.verbs) & set(sample.anchor.verbs)
        assert set(sample.positive.nouns) & set(sample.anchor.nouns)
        others += sample.positive.row != row
    assert others == len(dataset)
    assert len({dataset[(epoch, 0)].positive.row for epoch in range(8)}) > 1


def test_the_only_clip_of_its_action_is_its_own_positive_with_other_frames(recipe, tmp_path):
    rows = [{"video_uid": f"video{v}", "clip_start": 1, "clip_end": 9} for v in range(3)]
    table = write_egoclip(tmp_path / "egoclip.csv", rows)
    sample = dataset_of(recipe, positives=True, metadata=str(table))[(0, 1)]
    assert sample.positive.row == sample.anchor.row == 1
    assert not torch.equal(sample.positive.video, sample.anchor.video)


def test_skipped_clips_are_never_opened_and_are_no_faults(recipe, own_videos, tmp_path):
    shutil.rmtree(own_videos / "video1")
    table = ClipTable.open(recipe.data.metadata)
    gone = [row for row in range(len(table)) if table[row].video_uid == "video1"]
    write_skip_list(tmp_path / "skip.txt", table, gone)
    dataset = dataset_of(
        recipe, **with_root(recipe, own_videos), skip_list=str(tmp_path / "skip.txt")
    )
    intact = dataset_of(recipe)
    for row in range(len(dataset)):
        sample = dataset[(0, row)]
        assert not sample.faults
        assert not {sample.anchor.row, sample.negative.row} & set(gone)
        assert not sample.negative_is_random and sample.anchor.row != sample.negative.row
        if row not in gone:  # what can be read is what it was
            assert torch.equal(sample.anchor.video, intact[(0, row)].anchor.video)
    assert dataset[(0, gone[0])].anchor.row == dataset[(0, gone[0])].anchor.row


def test_clean_narrations(recipe):
    kept, clean = dataset_of(recipe)[(0, 3)], dataset_of(recipe, clean_narrations=True)[(0, 3)]
    assert kept.anchor.text == "#C C does thing 3" and clean.anchor.text == "does thing 3"


FAULTS = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "corrupt": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no video stream": lambda path: write_audio(path),
    "wrong frame rate": lambda path: write_video(path, 80, fps=20),
    "past the end": lambda path: write_video(path, 5, fps=10),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_every_kind_of_bad_file_is_replaced_and_named(recipe, own_videos, cause):
    bad = own_videos / "video2" / "0.mp4"
    FAULTS[cause](bad)
    videos = recipe.data.videos.model_copy(update={"root": str(own_videos), "fps": 10.0})
    dataset = dataset_of(recipe, videos=videos)
    samples = [dataset[(0, row)] for row in range(len(dataset))]
    faults = {fault for sample in samples for fault in sample.faults}
    assert faults == {Fault(str(bad), cause)}
    replaced = [row for row, sample in enumerate(samples) if sample.anchor.row != row]
    assert replaced and all(dataset.table[row].video_uid == "video2" for row in replaced)


def test_two_usable_clips_are_enough(recipe, tmp_path):
    table = ClipTable.open(recipe.data.metadata)
    write_skip_list(tmp_path / "skip.txt", table, range(22))
    dataset = dataset_of(recipe, skip_list=str(tmp_path / "skip.txt"))
    for row in range(24):
        sample = dataset[(0, row)]
        assert {sample.anchor.row, sample.negative.row} == {22, 23} and not sample.faults
