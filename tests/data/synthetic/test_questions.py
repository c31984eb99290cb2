import json
from collections.abc import Callable

import numpy as np
import pytest

from svitt_ego.data.synthetic.narrations import egoclip_rows
from svitt_ego.data.synthetic.questions import (
    INTER,
    INTRA,
    held_out_clips,
    write_questions,
)
from svitt_ego.data.synthetic.script import write_script
from svitt_ego.data.synthetic.vocabulary import VERBS

PER_TYPE = 500
SEED = 11


@pytest.fixture(scope="module")
def questions() -> dict[str, dict]:
    videos = []
    for index in range(60):
        script = write_script(SEED, index, 60.0, 10)
        videos.append(held_out_clips(script, egoclip_rows(script, SEED, index, allow_unsure=False)))
    # Through JSON, as a reader sees them.
    return json.loads(json.dumps(write_questions(videos, PER_TYPE, SEED)))


def of_type(questions: dict[str, dict], kind: int) -> list[dict]:
    return [question for question in questions.values() if question["types"] == kind]


def verb_of(row: dict) -> int:
    return json.loads(row["tag_verb"])[0]


def tolerance(count: int, chance: float = 0.2) -> float:
    """Four standard deviations of a share of `count` draws."""
    return 4 * float(np.sqrt(chance * (1 - chance) / count))


def test_format(questions: dict[str, dict]):
    assert list(questions) == [str(number) for number in range(2 * PER_TYPE)]
    for question in questions.values():
        assert set(question) == {"answer", "types", "query", "choices"}
        assert list(question["choices"]) == ["0", "1", "2", "3", "4"]
        assert question["query"] == question["choices"][str(question["answer"])]


def test_inter_uses_five_videos_and_intra_one(questions: dict[str, dict]):
    for kind, videos in ((INTER, 5), (INTRA, 1)):
        for question in of_type(questions, kind):
            uids = {row["video_uid"] for row in question["choices"].values()}
            assert len(uids) == videos
    assert len(of_type(questions, INTER)) == len(of_type(questions, INTRA)) == PER_TYPE


def test_no_query_fits_two_choices(questions: dict[str, dict]):
    for question in questions.values():
        tags = [
            (set(json.loads(row["tag_verb"])), set(json.loads(row["tag_noun"])))
            for row in question["choices"].values()
        ]
        for place, (verbs, nouns) in enumerate(tags):
            assert nouns
            for other_verbs, other_nouns in tags[place + 1 :]:
                assert not (verbs & other_verbs and nouns & other_nouns)


def test_intra_choices_are_near_and_do_not_overlap(questions: dict[str, dict]):
    spans = []
    for question in of_type(questions, INTRA):
        rows = sorted(question["choices"].values(), key=lambda row: row["clip_start"])
        for first, second in zip(rows[:-1], rows[1:], strict=True):
            assert first["clip_end"] <= second["clip_start"]
        spans.append(rows[-1]["clip_end"] - rows[0]["clip_start"])
    assert np.median(spans) < 15
    assert max(spans) < 60


def test_intra_holds_all_motions_of_an_axis_on_one_object(questions: dict[str, dict]):
    for question in of_type(questions, INTRA):
        rows = list(question["choices"].values())
        verbs = [VERBS[verb_of(row)] for row in rows]
        by_axis = {verb.axis: {v.path for v in verbs if v.axis == verb.axis} for verb in verbs}
        assert {"rise", "fall", "oscillate", "swing"} in by_axis.values()
        objects = [json.loads(row["tag_noun"])[0] for row in rows]
        assert max(objects.count(noun) for noun in objects) >= 4


@pytest.mark.parametrize("kind", [INTER, INTRA])
def test_answers_are_uniform_and_no_query_repeats(questions: dict[str, dict], kind: int):
    asked = of_type(questions, kind)
    shares = np.bincount([question["answer"] for question in asked], minlength=5) / len(asked)
    np.testing.assert_allclose(shares, 0.2, atol=tolerance(len(asked)))
    if kind == INTRA:
        keys = {(q["query"]["video_uid"], q["query"]["narration_ind"]) for q in asked}
        assert len(keys) == len(asked)


def length_s(row: dict, _: list[dict]) -> float:
    return row["clip_end"] - row["clip_start"]


def start_s(row: dict, _: list[dict]) -> float:
    return row["clip_start"]


def nearest_to_mean(feature: Callable) -> Callable:
    def score(row: dict, rows: list[dict]) -> float:
        return -abs(feature(row, rows) - np.mean([feature(other, rows) for other in rows]))

    return score


@pytest.mark.parametrize("kind", [INTER, INTRA])
@pytest.mark.parametrize(
    ("score", "sign"),
    [
        (length_s, 1),
        (length_s, -1),
        (start_s, 1),
        (start_s, -1),
        (nearest_to_mean(length_s), 1),
        (nearest_to_mean(start_s), 1),
    ],
    ids=["longest", "shortest", "latest", "earliest", "mean-length", "mean-start"],
)
def test_length_and_position_do_not_tell_the_answer(
    questions: dict[str, dict], kind: int, score: Callable, sign: int
):
    asked = of_type(questions, kind)
    hits = []
    for question in asked:
        rows = list(question["choices"].values())
        best = int(np.argmax([sign * score(row, rows) for row in rows]))
        hits.append(best == question["answer"])
    # Intra: the answer is one of the four like clips in 0.9 of the questions (0.225 each), and
    # these are nearer to each other in time than to the fifth.
    assert np.mean(hits) < 0.225 + tolerance(len(asked), 0.225)


def test_words_and_time_order_together_tell_little(questions: dict[str, dict]):
    """The best rank in time for each verb, fitted on one half and tried on the other."""
    ranks: list[list[tuple[int, int]]] = [[], []]
    for number, question in enumerate(of_type(questions, INTRA)):
        order = np.argsort([row["clip_start"] for row in question["choices"].values()]).tolist()
        ranks[number % 2].append((verb_of(question["query"]), order.index(question["answer"])))
    hits = []
    for fit, trial in (ranks, ranks[::-1]):
        for verb, rank in trial:
            seen = np.bincount([r for v, r in fit if v == verb] or [0], minlength=5)
            hits.append(rank == int(seen.argmax()))
    assert np.mean(hits) < 0.25 + tolerance(len(hits), 0.25)


def test_too_few_videos_is_an_error():
    script = write_script(0, 0, 30.0, 10)
    clips = held_out_clips(script, egoclip_rows(script, 0, 0, allow_unsure=False))
    with pytest.raises(ValueError, match="use a larger size"):
        write_questions([clips], 5, 0)
    with pytest.raises(ValueError, match="use a larger size"):
        write_questions([clips] * 5, 10_000, 0)
