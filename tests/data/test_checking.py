"""Metadata against videos: each kind of damage is found, and the skip list mends the run."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from svitt_ego.data.checking import check_data
from svitt_ego.data.dataset import EgoClipDataset
from svitt_ego.data.metadata import ClipTable
from tests.data.ego_files import write_audio, write_egoclip, write_video

FPS = 10


@pytest.fixture
def table(recipe):
    return ClipTable.open(recipe.data.metadata)


@pytest.fixture
def own_videos(world, tmp_path):
    return shutil.copytree(world / "videos", tmp_path / "videos")


def files_at(recipe, root, **changes):
    return recipe.data.videos.model_copy(update={"root": str(root), **changes})


def rows_touching(table, uid, chunk, chunk_s=4.0):
    return [
        row
        for row in range(len(table))
        if table[row].video_uid == uid
        and table[row].start_s < (chunk + 1) * chunk_s
        and table[row].end_s > chunk * chunk_s
    ]


@pytest.mark.parametrize("mode", ["fast", "full"])
def test_good_data_has_no_problem(recipe, table, world, mode):
    checked = check_data(table, files_at(recipe, world / "videos"), mode, workers=1, progress=False)
    assert (checked.files, checked.clips, checked.problems) == (12, 24, ())
    assert "0 clips (0.00%) are unreadable" in checked.summary()


def spoil(videos):
    (videos / "video0" / "1.mp4").unlink()
    (videos / "video1" / "0.mp4").write_bytes(b"")
    (videos / "video2" / "2.mp4").write_bytes(b"text")
    write_audio(videos / "video3" / "0.mp4")
    write_video(videos / "video3" / "2.mp4", 6, FPS)
    return {
        ("video0", 1): "missing",
        ("video1", 0): "empty",
        ("video2", 2): "corrupt",
        ("video3", 0): "no video stream",
        ("video3", 2): "past the end",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_each_kind_of_damage_is_found_with_its_clips(recipe, table, own_videos, workers):
    wanted = spoil(own_videos)
    checked = check_data(table, files_at(recipe, own_videos), "fast", workers, progress=False)
    found = {(p.path.parent.name, int(p.path.stem)): (p.cause, p.clips) for p in checked.problems}
    assert {place: cause for place, (cause, _) in found.items()} == wanted
    expected = set()
    for (uid, chunk), cause in wanted.items():
        rows = rows_touching(table, uid, chunk)
        if cause == "past the end":
            rows = [row for row in rows if table[row].end_s > 8 + 0.6 + 0.5]
        assert found[uid, chunk][1] == len(rows) > 0
        expected |= set(rows)
    assert checked.unreadable_rows.tolist() == sorted(expected)
    lines = checked.to_tsv().splitlines()
    assert lines[0] == "path\tcause\tclips" and len(lines) == 6


def test_full_mode_finds_damage_within_a_file(recipe, table, own_videos):
    path = write_video(own_videos / "video1" / "1.mp4", 40, FPS, movflags="+faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 200])
    files = files_at(recipe, own_videos)
    assert not check_data(table, files, "fast", 1, progress=False).problems
    (problem,) = check_data(table, files, "full", 1, progress=False).problems
    assert problem.path == path and problem.cause in ("truncated", "corrupt")
    assert problem.clips == len(rows_touching(table, "video1", 1))


def test_frame_rates_are_checked_where_the_recipe_names_one(recipe, table, own_videos):
    write_video(own_videos / "video1" / "1.mp4", 80, fps=20)
    assert not check_data(table, files_at(recipe, own_videos), "fast", 1, False).problems
    (problem,) = check_data(
        table, files_at(recipe, own_videos, fps=10.0), "fast", 1, False
    ).problems
    assert problem.cause == "wrong frame rate"


def test_what_the_check_calls_readable_the_loader_can_read(recipe, tmp_path):
    """Clips of all lengths at all places, around the ends of chunks and of the video."""
    write_video(tmp_path / "v" / "0.mp4", 40, FPS)
    write_video(tmp_path / "v" / "1.mp4", 40, FPS, first_number=40)
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(150):
        start = float(rng.uniform(0, 9))
        rows.append(
            {"video_uid": "v", "clip_start": start, "clip_end": start + rng.uniform(0.1, 5)}
        )
    table = ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", rows))
    files = files_at(recipe, tmp_path)
    unreadable = set(check_data(table, files, "fast", 1, False).unreadable_rows.tolist())
    data = recipe.data.model_copy(update={"videos": files, "frames": 24})
    dataset = EgoClipDataset(
        table, data, seed=0, contrastive=recipe.objectives.contrastive.model_copy(
            update={"scene_negatives": False}
        ),
    )  # fmt: skip
    failed = {row for row in range(150) if dataset[(0, row)].faults}
    assert len(failed) > 0 and failed <= unreadable
    # the check judges by the clip's end, the loader by the frames it drew
    beyond = {row for row in unreadable - failed if table[row].end_s < 8.5}
    assert not beyond


def test_the_command_leaves_a_table_and_a_skip_list_that_a_recipe_takes(
    recipe, own_videos, tmp_path
):
    spoil(own_videos)
    tree = recipe.model_dump(mode="json", exclude_defaults=True)
    tree["data"]["videos"]["root"] = str(own_videos)
    del tree["name"]
    recipe_file = tmp_path / "own.yaml"
    recipe_file.write_text(yaml.safe_dump(tree))
    ended = subprocess.run(
        [sys.executable, "launch/check_data.py", "--recipe", str(recipe_file),
         "--output-dir", str(tmp_path / "check")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "24 clips in 12 files" in ended.stdout and "no video stream" in ended.stdout
    assert len((tmp_path / "check" / "problems.tsv").read_text().splitlines()) == 6
    data = recipe.data.model_copy(
        update={
            "videos": files_at(recipe, own_videos),
            "skip_list": str(tmp_path / "check" / "skip_list.txt"),
        }
    )
    dataset = EgoClipDataset(
        ClipTable.open(recipe.data.metadata), data, seed=0,
        contrastive=recipe.objectives.contrastive,
    )  # fmt: skip
    assert not any(dataset[(0, row)].faults for row in range(24))


def test_the_command_tells_a_wrong_chunk_length_from_bad_clips(recipe, tmp_path):
    tree = recipe.model_dump(mode="json", exclude_defaults=True)
    del tree["name"]
    tree["data"]["videos"]["chunk_s"] = 600.0
    recipe_file = tmp_path / "own.yaml"
    recipe_file.write_text(yaml.safe_dump(tree))
    ended = subprocess.run(
        [sys.executable, "launch/check_data.py", "--recipe", str(recipe_file),
         "--output-dir", str(tmp_path / "check")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: data.videos.chunk_s = 600.0: ")
    assert not (tmp_path / "check" / "skip_list.txt").exists()
