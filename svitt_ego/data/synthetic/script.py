"""The script of a video: its scene and its timed actions, drawn from a seed.

The script is the single source of truth: frames, EgoClip rows and questions all derive from it.
Lengths are in scene units: the frame is 4/3 wide and 1 high, x to the right, y down.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Literal

import numpy as np

from svitt_ego.data.synthetic.surfaces import SURFACES
from svitt_ego.data.synthetic.vocabulary import (
    AXES,
    COLOURS,
    OBJECT_NOUN_IDS,
    VERB_ID,
    VERBS,
    affords,
)

WIDTH = 4 / 3
Hand = Literal["left", "right"]
ACTION_S = (0.8, 2.0)
_GAP_S = (0.15, 0.3)
_SWAP_GAP_S = (0.5, 0.7)
_CLIP_SLACK_S = 0.05
_INTERLUDE_SHARE = 0.7
# Lid and tilt exist on some objects only: weighted up so that all verbs are about as frequent.
_AXIS_WEIGHT = {"lift": 1.0, "slide": 1.0, "turn": 1.0, "lid": 3.0, "tilt": 4.0}


@dataclass(frozen=True)
class SceneObject:
    """An object and the slot at the back of the table where it stands when not in use."""

    noun_id: int
    colour: str
    slot_x: float
    slot_y: float
    lid_open: bool


@dataclass(frozen=True)
class Scene:
    """What stays the same during a video. `seed` draws textures, clutter and camera sway."""

    seed: int
    surface: str
    skin: int
    sleeve: int
    light: float
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class Action:
    """One timed action on one object.

    `sign`, `warp` and `reach` vary the motion (see motions.py); `spot_x`, `spot_y` is where on the
    table the object is handled. Actions of one `block` follow each other on the same object with
    the same hand at the same spot, so that nothing but the motion sets them apart.
    """

    verb_id: int
    object_index: int
    hand: Hand
    start_s: float
    end_s: float
    clip_start_s: float
    clip_end_s: float
    narration_s: float
    block: int
    sign: int
    warp: float
    reach: float
    spot_x: float
    spot_y: float


@dataclass(frozen=True)
class Script:
    """A video: `actions` are sorted in time and do not overlap."""

    video_uid: str
    duration_s: float
    scene: Scene
    actions: tuple[Action, ...]


def video_uid(seed: int, index: int, length_s: float, fps: int) -> str:
    """A stable UUID of the video that these arguments of `write_script` make."""
    digest = hashlib.sha256(f"egosynth/{seed}/{index}/{length_s}/{fps}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def write_script(seed: int, index: int, length_s: float, fps: int) -> Script:
    """Draw the script of video `index`: about `length_s` seconds, a whole number of frames.

    Pure: the same arguments give the same script.
    """
    rng = np.random.default_rng((seed, index, 0))
    scene = _draw_scene(rng)
    lids = [thing.lid_open for thing in scene.objects]
    actions: list[Action] = []
    time_s = rng.uniform(0.3, 0.6)
    object_index, block = int(rng.integers(len(lids))), 0
    while time_s < length_s - ACTION_S[0]:
        verbs = _draw_block(rng, scene.objects[object_index].noun_id, lids[object_index])
        hand: Hand = "left" if rng.random() < 0.5 else "right"
        spot = rng.uniform((WIDTH / 2 - 0.05, 0.64), (WIDTH / 2 + 0.05, 0.68))
        for verb_id in verbs:
            if time_s >= length_s - ACTION_S[0]:
                break
            start_s, end_s = time_s, time_s + rng.uniform(*ACTION_S)
            slack_s = rng.uniform(0, _CLIP_SLACK_S, size=2)
            verb = VERBS[verb_id]
            actions.append(
                Action(
                    verb_id=verb_id,
                    object_index=object_index,
                    hand=hand,
                    start_s=round(start_s, 6),
                    end_s=round(end_s, 6),
                    clip_start_s=round(start_s - slack_s[0], 6),
                    clip_end_s=round(end_s + slack_s[1], 6),
                    narration_s=round(start_s + rng.uniform(0.25, 0.75) * (end_s - start_s), 6),
                    block=block,
                    sign=int(rng.choice((-1, 1))),
                    warp=round(float(2 ** rng.uniform(-0.6, 0.6)), 6),
                    reach=round(rng.uniform(0.85, 1.1), 6),
                    spot_x=round(float(spot[0]), 6),
                    spot_y=round(float(spot[1]), 6),
                )
            )
            if verb.axis == "lid" and verb.path in ("rise", "fall"):
                lids[object_index] = verb.path == "rise"
            time_s = end_s + rng.uniform(*_GAP_S)
        time_s += rng.uniform(*_SWAP_GAP_S) - _GAP_S[0]
        others = [i for i in range(len(lids)) if i != object_index]
        object_index, block = int(rng.choice(others)), block + 1
    frames = int(np.ceil((actions[-1].end_s + rng.uniform(0.3, 0.6)) * fps))
    return Script(video_uid(seed, index, length_s, fps), frames / fps, scene, tuple(actions))


def _draw_scene(rng: np.random.Generator) -> Scene:
    count = int(rng.integers(4, 6))
    nouns = rng.choice(OBJECT_NOUN_IDS, size=count, replace=False)
    colours = rng.choice(list(COLOURS), size=count, replace=False)
    slots_x = np.linspace(0.2, WIDTH - 0.2, count) + rng.uniform(-0.03, 0.03, count)
    slots_y = rng.uniform(0.2, 0.27, count)
    return Scene(
        seed=int(rng.integers(2**31)),
        surface=str(rng.choice(list(SURFACES))),
        skin=int(rng.integers(5)),
        sleeve=int(rng.integers(6)),
        light=round(rng.uniform(0.85, 1.1), 6),
        objects=tuple(
            SceneObject(int(noun), str(colour), round(float(x), 6), round(float(y), 6), lid)
            for noun, colour, x, y, lid in zip(
                nouns, colours, slots_x, slots_y, (rng.random(count) < 0.5).tolist(), strict=True
            )
        ),
    )


def _draw_block(rng: np.random.Generator, noun_id: int, lid_open: bool) -> list[int]:
    """Verb ids of a run of actions on one object: all four paths of an axis in random order.

    rise and fall alternate, and either comes first equally often, so that the order of the actions
    of a block tells nothing about them and the state of the object stays consistent.
    """
    axes = [axis for axis in AXES if affords(noun_id, axis)]
    weights = np.array([_AXIS_WEIGHT[axis] for axis in axes])
    axis = str(rng.choice(axes, p=weights / weights.sum()))
    high = lid_open if axis == "lid" else bool(rng.random() < 0.5)
    kinds = ["ramp", "ramp", "oscillate", "swing"]
    if rng.random() < 0.5:
        kinds.append(str(rng.choice(kinds)))
    verbs: list[int] = []
    lowered = [] if high else [0]
    for kind in rng.permutation(kinds):
        path = str(kind)
        if kind == "ramp":
            path = "fall" if high else "rise"
            high = not high
        verbs.append(VERB_ID[axis, path])
        if not high:
            lowered.append(len(verbs))
    interlude = _draw_interlude(rng, noun_id, axis, lid_open)
    # A lifted or tilted object is in the hand: other work on it waits until it stands again.
    places = lowered if axis in ("lift", "tilt") else list(range(len(verbs) + 1))
    if places and rng.random() < _INTERLUDE_SHARE:
        verbs.insert(int(rng.choice(places)), interlude)
    return verbs


def _draw_interlude(rng: np.random.Generator, noun_id: int, axis: str, lid_open: bool) -> int:
    """A verb id of other work on the object, with a tool or along an axis other than `axis`."""
    candidates = [VERB_ID["tool", "wipe"]]
    for path in ("cut", "stir"):
        if affords(noun_id, path):
            candidates += [VERB_ID["tool", path]] * 6
    for other in ("slide", "turn"):
        if other != axis:
            candidates += [VERB_ID[other, path] for path in ("rise", "fall")]
    if affords(noun_id, "lid") and axis != "lid":
        candidates += [VERB_ID["lid", "fall" if lid_open else "rise"]]
    return int(rng.choice(candidates))
