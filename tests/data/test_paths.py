"""Missing files are one line, before anything starts."""

import shutil

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.paths import check_data_paths, check_videos_found


def changed(recipe, **data):
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=data)})


def test_what_is_there_passes(recipe):
    check_data_paths(recipe)
    check_videos_found(ClipTable.open(recipe.data.metadata), recipe.data.videos)


def test_missing_video_root_names_key_and_path(recipe, tmp_path):
    root = str(tmp_path / "nowhere")
    files = recipe.data.videos.model_copy(update={"root": root})
    with pytest.raises(ConfigError, match=rf"^data\.videos\.root = '{root}': no such folder$"):
        check_data_paths(changed(recipe, videos=files))


def test_missing_metadata_and_questions_name_key_and_path(recipe):
    with pytest.raises(ConfigError, match=r"^data\.metadata = '/no/egoclip\.csv': no such file$"):
        check_data_paths(changed(recipe, metadata="/no/egoclip.csv"))
    evaluation = recipe.evaluation.model_copy(update={"egomcq": "/no/egomcq.json"})
    with pytest.raises(ConfigError, match=r"^evaluation\.egomcq = '/no/egomcq\.json'"):
        check_data_paths(recipe.model_copy(update={"evaluation": evaluation}))


def test_wrong_layout_names_the_file_that_was_expected(recipe):
    files = recipe.data.videos.model_copy(update={"layout": "start_second"})
    with pytest.raises(ConfigError, match=r"none of 24 clips.*'start_second'.*video0\.mp4/0\.mp4"):
        check_videos_found(ClipTable.open(recipe.data.metadata), files)


@pytest.mark.parametrize("chunk_s", [2.0, 8.0])
def test_wrong_chunk_length_is_noticed_before_it_gives_wrong_frames(recipe, chunk_s):
    files = recipe.data.videos.model_copy(update={"chunk_s": chunk_s})
    with pytest.raises(ConfigError, match=rf"chunk_s = {chunk_s}: .*0\.mp4 is 4\.0 s long, and 1"):
        check_videos_found(ClipTable.open(recipe.data.metadata), files)


def test_videos_shorter_than_a_chunk_are_fine(recipe, world, tmp_path):
    for video in range(4):
        shutil.copytree(
            world / "videos" / f"video{video}",
            tmp_path / f"video{video}",
            ignore=shutil.ignore_patterns("1.mp4", "2.mp4"),
        )
    files = recipe.data.videos.model_copy(update={"root": str(tmp_path), "chunk_s": 600.0})
    check_videos_found(ClipTable.open(recipe.data.metadata), files)
