from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from svitt_ego.data.synthetic.motions import World, level
from svitt_ego.data.synthetic.render import Renderer
from svitt_ego.data.synthetic.script import ACTION_S, WIDTH, Scene, Script, write_script
from svitt_ego.data.synthetic.vocabulary import (
    AXES,
    NOUNS,
    OBJECT_NOUN_IDS,
    VERB_ID,
    VERBS,
    affords,
)

PATHS = ("rise", "fall", "oscillate", "swing")
MIDDLES = (np.arange(4) + 0.5) / 4


def one_action(verb_id: int, seed: int) -> Script:
    """A script of one two-second action on an object that affords it."""
    verb = VERBS[verb_id]
    need = verb.path if verb.axis == "tool" else verb.axis
    script = write_script(seed, 0, 30.0, 10)
    noun_id = next(noun for noun in OBJECT_NOUN_IDS if affords(noun, need))
    things = [replace(thing, lid_open=False) for thing in script.scene.objects]
    things[0] = replace(things[0], noun_id=noun_id)
    scene: Scene = replace(script.scene, objects=tuple(things))
    action = replace(
        script.actions[0], verb_id=verb_id, object_index=0, start_s=0.0, end_s=2.0, reach=1.0
    )
    return replace(script, scene=scene, actions=(action,), duration_s=2.0)


def test_paths_visit_the_same_levels_in_another_order():
    sampled = {path: [level(path, u) for u in MIDDLES] for path in PATHS}
    for levels in sampled.values():
        np.testing.assert_allclose(sorted(levels), [-0.75, -0.25, 0.25, 0.75])
    assert len({tuple(np.round(levels, 6)) for levels in sampled.values()}) == len(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_in_the_middle_half_way(path: str):
    """The middle frame alone does not tell the paths apart."""
    assert level(path, 0.5) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("warp", [0.7, 1.0, 1.4])
def test_fall_is_rise_in_reverse(warp: float):
    for u in np.linspace(0, 1, 13):
        assert level("fall", u, warp=warp) == pytest.approx(level("rise", 1 - u, warp=warp))


@pytest.mark.parametrize("axis", AXES)
def test_opposite_verbs_show_the_same_frames_in_reverse(axis: str):
    script = one_action(VERB_ID[axis, "rise"], seed=AXES.index(axis))
    rise = Renderer(script, 96, 72, sway=0)
    fallen = replace(script.actions[0], verb_id=VERB_ID[axis, "fall"])
    fall = Renderer(replace(script, actions=(fallen,)), 96, 72, sway=0)
    for time_s in (0.0, 0.5, 1.25, 2.0):
        first, second = rise.frame(time_s).astype(int), fall.frame(2.0 - time_s).astype(int)
        # Falling drops are at other places; nothing else may differ.
        assert (np.abs(first - second).max(axis=-1) > 8).mean() < (0.03 if axis == "tilt" else 1e-3)


@pytest.mark.parametrize("verb_id", range(len(VERBS)), ids=[verb.name for verb in VERBS])
def test_every_verb_moves_a_good_part_of_the_picture(verb_id: int):
    renderer = Renderer(one_action(verb_id, seed=verb_id), 128, 96, sway=0)
    frames = [renderer.frame(2.0 * u).astype(int) for u in MIDDLES]
    for before, after in pairwise(frames):
        assert (np.abs(after - before).max(axis=-1) > 30).mean() > 0.01
    moved = max(
        (np.abs(first - second).max(axis=-1) > 30).mean() for first in frames for second in frames
    )
    assert moved > 0.05


def test_the_still_scene_only_sways():
    script = write_script(5, 0, 30.0, 10)
    held, swaying = Renderer(script, 96, 72, sway=0), Renderer(script, 96, 72)
    last_s = script.actions[-1].end_s
    np.testing.assert_array_equal(held.frame(last_s), held.frame(last_s + 0.3))
    assert (swaying.frame(last_s) != swaying.frame(last_s + 0.3)).any()


def test_scripts_follow_the_rules():
    for index in range(10):
        script = write_script(21, index, 60.0, 10)
        assert script == write_script(21, index, 60.0, 10)
        assert script.duration_s >= 59
        assert (script.duration_s * 10) == pytest.approx(round(script.duration_s * 10))
        for first, second in pairwise(script.actions):
            assert first.clip_end_s < second.clip_start_s
        opened = {i: thing.lid_open for i, thing in enumerate(script.scene.objects)}
        for action in script.actions:
            verb = VERBS[action.verb_id]
            noun_id = script.scene.objects[action.object_index].noun_id
            assert affords(noun_id, verb.path if verb.axis == "tool" else verb.axis)
            assert ACTION_S[0] <= action.end_s - action.start_s <= ACTION_S[1] + 1e-5
            if verb.axis == "lid" and verb.path in ("rise", "fall"):
                assert opened[action.object_index] == (verb.path == "fall")
                opened[action.object_index] = verb.path == "rise"


def test_lengths_do_not_depend_on_the_verb():
    lengths: dict[str, list[float]] = {}
    for index in range(60):
        for action in write_script(8, index, 60.0, 10).actions:
            path = VERBS[action.verb_id].path
            lengths.setdefault(path, []).append(action.end_s - action.start_s)
    low, high = ACTION_S
    for values in lengths.values():
        error = (high - low) / np.sqrt(12 * len(values))
        assert abs(np.mean(values) - (low + high) / 2) < 4.5 * error


def test_objects_in_use_stay_in_the_middle_of_the_frame():
    """Within the square centre crop that training usually takes."""
    for index in range(5):
        script = write_script(2, index, 60.0, 10)
        world = World(script)
        for action in script.actions:
            for u in np.linspace(0, 1, 5):
                state = world.state(action.start_s + u * (action.end_s - action.start_s))
                assert state.active == action.object_index
                assert abs(state.poses[state.active, 0] - WIDTH / 2) < 0.5 - 0.1


def test_every_noun_but_the_tools_has_a_shape():
    assert len(OBJECT_NOUN_IDS) >= 14
    assert {noun.name for i, noun in enumerate(NOUNS) if i not in OBJECT_NOUN_IDS} == {
        "knife",
        "spoon",
        "cloth",
    }
