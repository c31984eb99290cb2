"""Reading egomcq.json, and errors that name file, question and key."""

import json

import pytest

from svitt_ego.evaluation.mcq_questions import QuestionsError, read_questions
from svitt_ego.evaluation.video_clip import VideoClip


def clip(index):
    return {
        "clip_idx": index,
        "video_uid": f"video{index}",
        "clip_start": index - 0.5,
        "clip_end": index + 1.0,
        "clip_text": f"text {index}",
        "tag_verb": "[1]",
    }


def question(**changes):
    choices = {str(index): clip(index) for index in range(5)}
    return {"answer": 3, "types": 1, "query": clip(3), "choices": choices} | changes


def read(tmp_path, tree):
    path = tmp_path / "egomcq.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return read_questions(path)


def test_questions_are_what_was_written(tmp_path):
    shuffled = dict(reversed(question()["choices"].items()))
    one, two = read(tmp_path, {"0": question(), "7": question(types=2, choices=shuffled)})
    assert (one.id, one.kind, one.text, one.answer) == ("0", "inter", "text 3", 3)
    assert (two.id, two.kind) == ("7", "intra")
    assert one.choices[0] == VideoClip("video0", 0.0, 1.0)  # starts at -0.5 s in the file
    assert one.choices[4] == VideoClip("video4", 3.5, 5.0)
    assert two.choices == one.choices


def without(tree, dotted):
    *parents, last = dotted.split(".")
    node = tree
    for part in parents:
        node = node[part]
    del node[last]
    return tree


WRONG = {
    "no answer": (without(question(), "answer"), "answer is missing"),
    "answer as text": (question(answer="3"), "answer = '3': must be int"),
    "answer as truth": (question(answer=True), "answer = True: must be int"),
    "answer out of range": (question(answer=5), "answer = 5: must be one of the choices 0 to 4"),
    "type": (question(types=3), "types = 3: must be 1 .* or 2"),
    "no text": (without(question(), "query.clip_text"), "query.clip_text is missing"),
    "choices": (without(question(), "choices.2"), "choices must be numbered"),
    "clip": (without(question(), "choices.2.clip_end"), "choices.2.clip_end is missing"),
    "time": (
        question(choices={"0": clip(0), "1": clip(1) | {"clip_end": 0.2}}, answer=0),
        "choices.1: clip_end 0.2 is not after clip_start 0.5",
    ),
    "not an object": ([], "types is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_question_is_named(tmp_path, name):
    tree, message = WRONG[name]
    with pytest.raises(QuestionsError, match=rf"egomcq\.json, question '1': {message}"):
        read(tmp_path, {"0": question(), "1": tree})


@pytest.mark.parametrize("content", ["{", "[]", "{}", "3"])
def test_a_file_of_something_else_is_named(tmp_path, content):
    with pytest.raises(QuestionsError, match=r"egomcq\.json: (not JSON|must be an object)"):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(QuestionsError, match=r"nowhere\.json: No such file"):
        read_questions(tmp_path / "nowhere.json")
