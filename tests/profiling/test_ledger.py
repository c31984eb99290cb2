import numpy as np
import pytest

from svitt_ego.profiling.ledger import Ledger, Timeline


def test_a_step_counts_what_lives_and_says_what_it_is():
    ledger = Ledger()
    ledger.add(1, 100, "parameters")
    ledger.begin_step()
    ledger.begin_phase("forward")
    ledger.building = True
    ledger.add(2, 10)  # kept for the backward pass
    ledger.add(3, 40)  # gone before the pass ends
    ledger.release(3)
    ledger.end_phase()
    ledger.building = False
    ledger.begin_phase("backward")
    ledger.add(4, 25)
    ledger.release(2)
    ledger.label(4, "gradients")
    ledger.add(5, 3)
    ledger.release(5)
    ledger.end_phase()
    memory = ledger.end_step()

    assert memory.peak.peak_bytes == 150
    assert memory.peak.peak_bytes_by_category == {
        "parameters": 100,
        "activations": 10,
        "temporaries": 40,
    }
    assert memory.phases["forward"] == memory.peak
    assert memory.phases["backward"].peak_bytes == 135
    assert memory.phases["backward"].peak_bytes_by_category == {
        "parameters": 100,
        "gradients": 25,
        "activations": 10,
    }
    assert (memory.start_bytes, memory.end_bytes) == (100, 125)


def test_a_peak_between_phases_counts_for_the_step_alone():
    ledger = Ledger()
    ledger.begin_step()
    ledger.begin_phase("forward")
    ledger.end_phase()
    ledger.add(1, 8)
    ledger.release(1)
    ledger.begin_phase("backward")
    ledger.end_phase()
    memory = ledger.end_step()
    assert memory.peak.peak_bytes == 8
    assert {name: peak.peak_bytes for name, peak in memory.phases.items()} == {
        "forward": 0,
        "backward": 0,
    }


def test_a_repeated_phase_counts_with_its_highest_peak():
    ledger = Ledger()
    ledger.begin_step()
    for size_bytes in (5, 9, 7):
        ledger.begin_phase("forward")
        ledger.add(1, size_bytes)
        ledger.release(1)
        ledger.end_phase()
    assert ledger.end_step().phases["forward"].peak_bytes == 9


def test_a_resized_storage_keeps_its_category():
    ledger = Ledger()
    ledger.begin_step()
    ledger.add(1, 4, "inputs")
    ledger.resize(1, 16)
    assert ledger.live_bytes == 16
    assert ledger.end_step().peak.peak_bytes_by_category == {"inputs": 16}


def test_what_a_step_leaves_unnamed_is_other_in_the_next():
    ledger = Ledger()
    ledger.begin_step()
    ledger.add(1, 4)
    ledger.end_step()
    ledger.begin_step()
    assert ledger.end_step().peak.peak_bytes_by_category == {"other": 4}


def test_the_timeline_follows_the_live_bytes():
    ledger = Ledger(keep_timeline=True)
    ledger.add(1, 100, "parameters")
    ledger.begin_step()
    ledger.begin_phase("forward")
    ledger.add(2, 10, "inputs")
    ledger.add(3, 5)
    ledger.release(2)
    ledger.end_phase()
    timeline = ledger.end_step().timeline
    assert timeline.live_bytes["parameters"].tolist() == [100, 100, 100, 100]
    assert timeline.live_bytes["inputs"].tolist() == [0, 10, 10, 0]
    assert timeline.live_bytes["temporaries"].tolist() == [0, 0, 5, 5]
    assert (np.diff(timeline.seconds) >= 0).all()
    ((name, start_s, end_s),) = timeline.phases
    assert name == "forward" and 0 <= start_s <= timeline.seconds[-1] <= end_s


@pytest.mark.parametrize("points", [3, 10, 1000])
def test_a_thinned_timeline_keeps_the_peak(points: int):
    rng = np.random.default_rng(points)
    live = {name: rng.integers(0, 1000, 500) for name in ("inputs", "activations")}
    timeline = Timeline(np.arange(500.0), live, ())
    thin = timeline.thinned(points)
    assert len(thin.seconds) == min(points, 500)
    assert sum(thin.live_bytes.values()).max() == sum(live.values()).max()
    assert (np.diff(thin.seconds) > 0).all()
