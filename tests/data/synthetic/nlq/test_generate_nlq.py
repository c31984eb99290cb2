"""EgoSynth-NLQ: the files are those of Ego4D, the answers are those of the script."""

import json
import shutil

import av
import numpy as np
import pytest

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.synthetic.nlq.generate import generate_nlq
from svitt_ego.data.synthetic.nlq.long_video import write_long_video
from svitt_ego.data.synthetic.nlq.questions import (
    STATE,
    WHAT_DID_I,
    WHERE_DID_I_PUT,
    ask,
)
from svitt_ego.data.synthetic.nlq.sizes import NLQ_SIZES
from svitt_ego.data.synthetic.vocabulary import NOUNS, VERBS
from svitt_ego.grounding.queries import read_clips, read_queries

TINY, DEMO = NLQ_SIZES["tiny"], NLQ_SIZES["demo"]
TEXTS = ("egoclip.csv", "nlq_train.json", "nlq_val.json", "nlq_test.json", "taxonomy.json")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return generate_nlq(tmp_path_factory.mktemp("nlq"), "tiny", seed=1, workers=1, progress=False)


def actions_of(video):
    """(start, end, verb forms, noun synonyms, colour) in seconds of the video."""
    for script, start_s in zip(video.tables, video.starts_s, strict=True):
        for action in script.actions:
            thing = script.scene.objects[action.object_index]
            yield (
                start_s + action.clip_start_s,
                start_s + action.clip_end_s,
                list(VERBS[action.verb_id].forms),
                NOUNS[thing.noun_id].synonyms,
                thing.colour,
            )


def answers(question, video):
    """Windows of all actions that the question could mean, found by its words alone."""
    words = question.text.rstrip("?")
    found = []
    for start_s, end_s, verbs, nouns, colour in actions_of(video):
        names = [f"{colour} {noun}" for noun in nouns]
        if question.template == WHAT_DID_I:
            fits = any(words == f"Which {n} did I {v}" for n in nouns for v in verbs)
        elif question.template == STATE:
            fits = any(words == f"When did I {v} the {n}" for n in names for v in verbs)
        elif question.template == WHERE_DID_I_PUT:
            fits = "put down" in verbs and any(words.endswith(f" the {n}") for n in names)
        else:
            fits = any(f" {name}" in f" {words} ".replace(" last ", " ") for name in names)
        if fits:
            found.append((start_s, end_s))
    return found


def test_every_question_has_one_answer():
    """Where a question is about a use, its actions follow each other without a long gap."""
    templates = set()
    for index in range(12):
        video = write_long_video(5, index, DEMO)
        for question in ask(video, 10, np.random.default_rng(index)):
            windows = answers(question, video)
            templates.add(question.template)
            if question.template in (WHAT_DID_I, STATE, WHERE_DID_I_PUT):
                assert len(windows) == 1, question
            else:
                gaps = [b[0] - a[1] for a, b in zip(windows, windows[1:], strict=False)]
                assert max(gaps, default=0.0) < 0.5, question
            ends = (windows[0][0], windows[-1][1])
            assert (question.start_s, question.end_s) == pytest.approx(ends, abs=1e-5)
    assert len(templates) == 5


def test_the_files_are_read_as_ego4ds(dataset):
    counts = json.loads((dataset / "manifest.json").read_text())["counts"]
    for split, videos in (("train", 3), ("val", 2), ("test", 1)):
        path = dataset / f"nlq_{split}.json"
        queries = read_queries(path)
        assert len(queries.clips) == videos
        told = len(queries.usable) + queries.null + queries.empty_windows
        assert told == counts[f"{split}_queries"]
        assert all((query.window_s is None) == (split == "test") for query in queries.usable)
        for clip in queries.clips:
            chunks = sorted((dataset / "videos" / clip.video_uid).glob("*.mp4"))
            frames = 0
            for chunk in chunks:
                with av.open(str(chunk)) as container:
                    frames += sum(1 for _ in container.decode(video=0))
            assert frames == round(clip.duration_s * TINY.fps)
    table = ClipTable.open(dataset / "egoclip.csv", strict=True)
    assert len(table) == counts["narrations"]
    assert {clip.video_uid for clip in read_clips([dataset / "nlq_train.json"])} == set(
        table.video_uids
    )


def test_some_queries_are_null_and_some_windows_empty():
    """As published; of many, so that the shares show."""
    from svitt_ego.data.synthetic.nlq.annotations import video_entry

    null = empty = total = 0
    for index in range(60):
        video, rng = write_long_video(2, index, TINY), np.random.default_rng(index)
        entry = video_entry(video, "val", ask(video, 10, rng), TINY.fps, rng)
        for annotation in entry["clips"][0]["annotations"]:
            for query in annotation["language_queries"]:
                total += 1
                null += query["query"] is None
                empty += query["clip_start_sec"] == query["clip_end_sec"]
    assert 0 < null < 0.06 * total and 0 < empty < 0.04 * total


def test_the_same_seed_gives_the_same_files_also_after_an_interruption(dataset, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(dataset, again)
    (again / "manifest.json").rename(again / "manifest.partial.json")
    shutil.rmtree(next((again / "videos").iterdir()))
    for name in TEXTS:
        (again / name).unlink()
    assert generate_nlq(again, "tiny", seed=1, workers=1, progress=False) == again
    for name in (*TEXTS, "manifest.json", "tokenizer/tokenizer.json"):
        assert (again / name).read_bytes() == (dataset / name).read_bytes(), name
    assert len(list((again / "videos").iterdir())) == TINY.videos
    with pytest.raises(ConfigError, match="holds an EgoSynth dataset with seed 1, wanted 2"):
        generate_nlq(again, "tiny", seed=2)


def test_other_mistakes(tmp_path):
    with pytest.raises(ConfigError, match="unknown EgoSynth-NLQ size 'huge'"):
        generate_nlq(tmp_path, "huge")
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        generate_nlq(tmp_path, "tiny", workers=0)
