"""Motion of objects and hands: pure functions of progress and of the script.

An object's pose is a vector of POSE_SIZE numbers (indices X … SPLIT), so that the unscripted moves
between two actions are plain interpolations.
"""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from svitt_ego.data.synthetic.script import WIDTH, Action, Script
from svitt_ego.data.synthetic.shapes import SHAPES, lid_grip
from svitt_ego.data.synthetic.vocabulary import VERBS

X, Y, LIFT, TURN, TILT, LID, SPLIT = range(7)
POSE_SIZE = 7
RADIUS = 0.21
RISE = 0.36
SLIDE = 0.24
TILT_LIFT = 0.55
CUT_MARK = 0.12
_SIDE = {"left": -1.0, "right": 1.0}
# Every path is a polyline through these (progress, level) knots; levels lie in [-1, 1]. Sampled in
# the middle of four equal intervals each gives the levels -.75, -.25, .25, .75 in its own order.
_KNOTS = {
    "rise": ((0, -1), (1, 1)),
    "fall": ((0, 1), (1, -1)),
    "oscillate": ((0, -1), (1 / 3, 1), (2 / 3, -1), (1, 1)),
    "swing": ((0, 0), (0.4, 0.8), (0.6, -0.8), (1, 0)),
}


@dataclass(frozen=True)
class State:
    """The world at one time: object poses (objects, POSE_SIZE), hands (2, 2) as x, y for left and
    right, the object in use (or -1), and the tool in a hand as (name, hand index) or None."""

    poses: np.ndarray
    hands: np.ndarray
    active: int
    tool: tuple[str, int] | None


def level(path: str, progress: float, sign: int = 1, warp: float = 1.0) -> float:
    """Level in [-1, 1] of a path at progress in [0, 1].

    `fall` is `rise` run backwards for every warp; `oscillate` and `swing` start downwards for
    sign -1. `warp` > 1 starts slowly, < 1 fast.
    """
    if path == "fall":
        return level("rise", 1 - progress, sign, warp)
    times, levels = zip(*_KNOTS[path], strict=True)
    value = float(np.interp(progress**warp, times, levels))
    return value if path == "rise" else sign * value


def screen_position(pose: np.ndarray) -> np.ndarray:
    """Centre (x, y) of an object in the frame: its place on the table, raised by its lift."""
    return np.array((pose[X], pose[Y] - RISE * pose[LIFT]))


def screen_radius(pose: np.ndarray) -> float:
    """Half size of an object in the frame: smaller at the back of the table, larger when lifted."""
    depth = np.interp(pose[Y], (0.2, 0.66), (0.58, 1.0))
    return RADIUS * float(depth) * (1 + 0.15 * max(pose[LIFT], 0.0))


def action_pose(
    action: Action, noun_id: int, progress: float, lid: float, split: float
) -> np.ndarray:
    """Pose (POSE_SIZE,) of the object of an action; `lid` and `split` are its state before it."""
    verb = VERBS[action.verb_id]
    pose = np.array((action.spot_x, action.spot_y, 0.0, 0.0, 0.0, lid, split))
    if verb.axis == "tool":
        if verb.path == "cut":
            pose[SPLIT] = split + (0.75 - split) * progress
        return pose
    amount = action.reach * level(verb.path, progress, action.sign, action.warp)
    share = (amount + 1) / 2
    if verb.axis == "lift":
        pose[LIFT] = share
    elif verb.axis == "slide":
        pose[X] += SLIDE * amount
    elif verb.axis == "turn":
        pose[TURN] = amount
    elif verb.axis == "tilt":
        pose[LIFT] = TILT_LIFT
        shape = SHAPES[noun_id]
        assert shape is not None
        # Away from the hand, but a spout must point down.
        pose[TILT] = share * (np.sign(shape.spout[0]) or -_SIDE[action.hand])
    else:
        pose[LID] = np.clip(share, 0, 1)
    return pose


def action_hands(action: Action, pose: np.ndarray, noun_id: int, progress: float) -> np.ndarray:
    """Hand positions (2, 2) during an action; a hand that rests is below the frame."""
    verb, side = VERBS[action.verb_id], _SIDE[action.hand]
    centre, radius = screen_position(pose), screen_radius(pose)
    hands = np.array(((WIDTH / 2 - 0.5, 1.3), (WIDTH / 2 + 0.5, 1.3)))
    busy, other = (0, 1) if action.hand == "left" else (1, 0)
    hands[busy] = centre + radius * np.array((0.62 * side, 0.62))
    if verb.axis in ("lid", "tool"):
        hands[other] = centre + radius * np.array((-0.72 * side, 0.75))
    if verb.axis == "lid":
        hands[busy] = centre + radius * lid_grip(noun_id, float(pose[LID]))
    elif verb.axis == "tool":
        hands[busy] = centre + _tool_offset(action, verb.path, progress)
    return hands


def _tool_offset(action: Action, path: str, progress: float) -> np.ndarray:
    side = _SIDE[action.hand]
    if path == "cut":
        sawing = np.interp((2.5 * progress) % 1, (0, 0.5, 1), (-1, 1, -1))
        return np.array((0.12 * side, 0.02 + 0.13 * sawing))
    if path == "stir":
        angle = 2 * np.pi * 1.75 * progress
        return np.array((0.1 * side + 0.13 * np.cos(angle), -0.06 + 0.09 * np.sin(angle)))
    sweep = action.sign * np.interp((1.5 * progress) % 1, (0, 0.5, 1), (-1, 1, -1))
    return np.array((0.3 * sweep, 0.05 - 0.06 * sweep))


class World:
    """The state of a script at any time; actions in order, smooth unscripted moves between them."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._starts = [action.start_s for action in script.actions]
        rest = np.zeros((len(script.scene.objects), POSE_SIZE))
        for row, thing in zip(rest, script.scene.objects, strict=True):
            row[[X, Y, LID]] = thing.slot_x, thing.slot_y, float(thing.lid_open)
        # _rests[k]: all objects in their slots, with their lids and cuts, before action k.
        self._rests = [rest]
        for action in script.actions:
            self._rests.append(self._rest_after(action, self._rests[-1]))

    def _rest_after(self, action: Action, rest: np.ndarray) -> np.ndarray:
        verb, after = VERBS[action.verb_id], rest.copy()
        if verb.axis == "lid" and verb.path in ("rise", "fall"):
            after[action.object_index, LID] = float(verb.path == "rise")
        if verb.path == "cut":
            after[action.object_index, SPLIT] = CUT_MARK
        return after

    def state(self, time_s: float) -> State:
        """The world at `time_s`, clamped to the time between the first and the last action."""
        index = max(bisect_right(self._starts, time_s) - 1, 0)
        action = self._script.actions[index]
        if time_s <= action.end_s or index + 1 == len(self._starts):
            span_s = action.end_s - action.start_s
            return self._acting(index, float(np.clip((time_s - action.start_s) / span_s, 0, 1)))
        following = self._script.actions[index + 1]
        share = (time_s - action.end_s) / (following.start_s - action.end_s)
        before, after = self._acting(index, 1.0), self._acting(index + 1, 0.0)
        ease = share * share * (3 - 2 * share)
        near = before if share < 0.5 else after
        return State(
            before.poses + ease * (after.poses - before.poses),
            before.hands + ease * (after.hands - before.hands),
            near.active,
            near.tool,
        )

    def _acting(self, index: int, progress: float) -> State:
        action, rest = self._script.actions[index], self._rests[index]
        noun_id = self._script.scene.objects[action.object_index].noun_id
        poses = rest.copy()
        lid, split = rest[action.object_index, [LID, SPLIT]]
        pose = action_pose(action, noun_id, progress, lid, split)
        poses[action.object_index] = pose
        hands = action_hands(action, pose, noun_id, progress)
        path = VERBS[action.verb_id].path
        busy = 0 if action.hand == "left" else 1
        tool = (path, busy) if path in ("cut", "stir", "wipe") else None
        return State(poses, hands, action.object_index, tool)
