"""Shortcuts that are there are found, and where there is none the figure is chance."""

import json

import numpy as np
import pytest

from svitt_ego.data.metadata import ClipTable
from svitt_ego.tables.shortcuts import nearest_length, text_only

VERBS = ("picks up", "puts down", "shakes")
LENGTHS_S = (1.0, 2.0, 3.0)


def question(rng, answer, verb, length_s, times=None):
    starts = rng.permutation(5) * 10.0 if times is None else times
    lengths = rng.uniform(0.5, 3.5, 5)
    if length_s is not None:
        lengths[:] = 9.0
        lengths[answer] = length_s
    clips = [
        {"clip_start": float(start), "clip_end": float(start + length)}
        for start, length in zip(starts, lengths, strict=True)
    ]
    words = {"clip_text": f"#C C {VERBS[verb]} the cup", "tag_verb": json.dumps([verb])}
    return {
        "answer": answer,
        "query": clips[answer] | words,
        "choices": {str(place): clip for place, clip in enumerate(clips)},
    }


def asked(rng, count, answer_of=None, length_of=None, rank_of=None):
    questions = {}
    for number in range(count):
        verb, answer, times = int(rng.integers(3)), int(rng.integers(5)), None
        if answer_of:
            answer = answer_of(verb)
        if rank_of:
            times = rng.permutation(5) * 10.0
            answer = int(np.argsort(times)[rank_of(verb)])
        length_s = length_of(verb) if length_of else None
        questions[str(number)] = question(rng, answer, verb, length_s, times)
    return questions


def within(correct, chance=0.2):
    """Five standard errors."""
    return abs(correct.mean() - chance) < 5 * np.sqrt(chance * (1 - chance) / len(correct))


@pytest.mark.parametrize("leak", [{"answer_of": lambda v: v + 1}, {"rank_of": lambda v: 2 - v}])
def test_words_that_tell_the_answers_place_or_rank_are_found(leak):
    assert text_only(asked(np.random.default_rng(), 300, **leak)).mean() > 0.95


def test_words_that_tell_nothing_are_worth_chance():
    assert within(text_only(asked(np.random.default_rng(), 2000)))


@pytest.fixture
def table(tmp_path):
    rows = ["\t".join(HEADER)]
    for number in range(60):
        verb, start_s = number % 3, 5.0 * number
        end_s = start_s + LENGTHS_S[verb] + (0.2 if number % 2 else -0.2)
        values = (number, "a", 400.0, "narration_pass_1", number, start_s, start_s, end_s)
        rows.append("\t".join(map(str, (*values, f"#C C {VERBS[verb]} the cup", [verb], [1]))))
    (tmp_path / "egoclip.csv").write_text("\n".join(rows) + "\n")
    return ClipTable.open(tmp_path / "egoclip.csv", progress=False)


HEADER = ("clip_idx", "video_uid", "video_dur", "narration_source", "narration_ind") + (
    *("narration_time", "clip_start", "clip_end", "clip_text", "tag_verb", "tag_noun"),
)


def test_lengths_that_belong_to_verbs_are_found(table):
    rng = np.random.default_rng()
    assert nearest_length(asked(rng, 60, length_of=LENGTHS_S.__getitem__), table).all()
    assert within(nearest_length(asked(rng, 2000), table))
