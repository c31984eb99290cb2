"""EPIC-KITCHENS-100's files: relevance by hand, and errors that name file and line."""

import numpy as np
import pytest

from svitt_ego.config import ConfigError
from svitt_ego.evaluation.epic_kitchens import read_epic_kitchens
from svitt_ego.evaluation.video_clip import VideoClip

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
ROWS = [
    'P01_11_0,P01,P01_11,00:00:00.56,00:00:00.00,00:00:01.89,1,113,take plate,take,0,plate,2,'
    '"[\'plate\']",[2]',
    'P01_11_1,P01,P01_11,00:01:00.00,00:01:01.50,01:00:02.25,1,113,"put plate, cup",put,1,plate,2,'
    '"[\'plate\', \'cup\']","[2, 7]"',
    'P02_01_9,P02,P02_01,00:00:05.00,00:00:05.00,00:00:06.00,1,113,take cup,take,0,cup,7,'
    '"[\'cup\']",[7]',
]  # fmt: skip
SENTENCES = ["narration_id,narration", "P02_01_9,take cup", 'P01_11_1,"put plate, cup"']


@pytest.fixture
def read(tmp_path):
    def read(rows=ROWS, sentences=SENTENCES, header=HEADER):
        clips_csv, sentences_csv = tmp_path / "test.csv", tmp_path / "sentence.csv"
        clips_csv.write_text("\n".join([header, *rows]) + "\n")
        sentences_csv.write_text("\n".join(sentences) + "\n")
        return read_epic_kitchens(clips_csv, sentences_csv)

    return read


def test_relevance_by_hand(read):
    task = read()
    assert task.clips == (
        VideoClip("P01_11", 0.0, 1.89),
        VideoClip("P01_11", 61.5, 3602.25),
        VideoClip("P02_01", 5.0, 6.0),
    )
    assert task.sentences == ("take cup", "put plate, cup")
    # mean of the overlap of verbs and of nouns
    expected = [
        [(1 + 0) / 2, (0 + 1 / 2) / 2],
        [(0 + 1 / 2) / 2, 1.0],
        [1.0, (0 + 1 / 2) / 2],
    ]
    assert np.allclose(task.relevance, expected)


WRONG = {
    "time": (ROWS[0].replace("00:00:01.89", "1.89"), "line 3: '1.89': must be a time HH:MM:SS.ss"),
    "order": (ROWS[0].replace("00:00:01.89", "00:00:00.00"), "line 3: stop 0.0 s is not after"),
    "verb": (ROWS[0].replace(",take,0,", ",take,x,"), "line 3: 'x': must be a class number"),
    "nouns": (ROWS[0].replace("[2]", "[os.system]"), r"line 3: '\[os.system\]': must be a list"),
    "cells": ("P01_11_5,P01", "line 3: too few cells"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_row_is_named(read, name):
    row, message = WRONG[name]
    with pytest.raises(ConfigError, match=rf"test\.csv, {message}"):
        read(rows=[ROWS[0], row])


def test_other_files_are_named(read, tmp_path):
    with pytest.raises(ConfigError, match=r"test\.csv, line 1: no column video_id"):
        read(header=HEADER.replace("video_id", "video"))
    with pytest.raises(ConfigError, match=r"sentence\.csv, line 2: narration_id 'P9' is not in"):
        read(sentences=[SENTENCES[0], "P9,take cup"])
    with pytest.raises(ConfigError, match=r"sentence\.csv: has no row"):
        read(sentences=SENTENCES[:1])
    with pytest.raises(ConfigError, match=r"none\.csv: No such file"):
        read_epic_kitchens(tmp_path / "none.csv", tmp_path / "none.csv")
