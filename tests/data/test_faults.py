"""Counting unreadable clips."""

import pytest

from svitt_ego.data.batch import Fault
from svitt_ego.data.faults import JUDGED_AFTER_CLIPS, NAMED_FAULTS, FaultTally, TooManyFaults


def test_faults_are_counted_by_cause_and_the_first_named_once():
    tally = FaultTally()
    tally.add(30, [Fault("a.mp4", "corrupt"), Fault("b.mp4", "missing"), Fault("a.mp4", "corrupt")])
    tally.add(27, [])
    assert (tally.clips, tally.faults, tally.share) == (60, 3, 0.05)
    assert tally.summary().splitlines() == [
        "3 of 60 clips (5.0%) were unreadable:",
        "  2 corrupt",
        "  1 missing",
        "  corrupt: a.mp4",
        "  missing: b.mp4",
    ]


def test_only_so_many_files_are_named():
    tally = FaultTally()
    tally.add(1, [Fault(f"{index}.mp4", "missing") for index in range(50)])
    assert len(tally.first) == NAMED_FAULTS and tally.causes["missing"] == 50


def test_nothing_wrong_is_said_so():
    tally = FaultTally()
    tally.check(0.0)
    tally.add(4, [])
    assert tally.summary() == "all 4 clips were readable"


def test_too_large_a_share_stops_once_there_is_enough_to_judge():
    fault = Fault("a.mp4", "corrupt")
    tally = FaultTally()
    tally.add(1, [fault] * (JUDGED_AFTER_CLIPS // 2))
    tally.check(0.1)
    tally.add(JUDGED_AFTER_CLIPS, [])
    tally.check(tally.share)
    with pytest.raises(TooManyFaults, match=r"(?s)corrupt: a\.mp4.*max_unreadable_share = 0\.1"):
        tally.check(0.1)
