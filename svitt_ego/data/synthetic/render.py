"""Draw the frames of a script: filled polygons on the scene, seen by a swaying camera."""

import cv2
import numpy as np

from svitt_ego.data.synthetic.hands import HAND, PALM_RADIUS, TOOLS
from svitt_ego.data.synthetic.motions import (
    LID,
    SPLIT,
    TILT,
    TURN,
    State,
    World,
    X,
    Y,
    screen_position,
    screen_radius,
)
from svitt_ego.data.synthetic.outlines import ObjectOutline, Outline
from svitt_ego.data.synthetic.script import WIDTH, Script
from svitt_ego.data.synthetic.shapes import SHAPES, Part, oval
from svitt_ego.data.synthetic.surfaces import paint_background
from svitt_ego.data.synthetic.vocabulary import COLOURS

Colour = tuple[int, int, int]
_MARGIN = 0.1
_SHIFT_BITS = 4
_SKINS: tuple[Colour, ...] = (
    (236, 190, 160),
    (222, 170, 134),
    (190, 132, 96),
    (140, 92, 64),
    (98, 64, 46),
)
_SLEEVES: tuple[Colour, ...] = (
    (60, 66, 84),
    (96, 60, 62),
    (62, 84, 72),
    (112, 108, 100),
    (44, 44, 48),
    (150, 146, 138),
)
_TONES: dict[str, Colour] = {
    "white": (246, 246, 242),
    "black": (42, 40, 44),
    "grey": (168, 168, 172),
    "leaf": (70, 150, 54),
    "handle": (60, 44, 36),
    "wood": (206, 164, 104),
    "steel": (216, 220, 226),
    "edge": (116, 130, 146),
    "cloth": (226, 226, 208),
    "water": (120, 196, 246),
}
_FULL_TURN = np.pi / 2
_FULL_TILT = np.radians(125)
_SHADOW = Outline((Part(oval(0, 0.85, 1.0, 0.24), "shadow"),))
_DROP = Outline((Part(oval(0, 0, 0.02, 0.03), "water"),))
_OBJECTS = tuple(None if shape is None else ObjectOutline(shape) for shape in SHAPES)


class Renderer:
    """Frames of one script as uint8 RGB arrays (height, width, 3).

    The scene is drawn on a canvas a little larger than the frame, which a swaying camera looks at;
    `sway` scales its movement, 0 holds it still.
    """

    def __init__(self, script: Script, width: int, height: int, sway: float = 1.0) -> None:
        scene = script.scene
        self._world, self._size, self._scale = World(script), (width, height), height
        canvas_size = [round((length + 2 * _MARGIN) * height) for length in (1, WIDTH)]
        self._background = paint_background(scene.surface, scene.seed, scene.light, *canvas_size)
        self._resting_key, self._resting = b"", self._background
        self._outlines: list[ObjectOutline] = []
        for thing in scene.objects:
            outline = _OBJECTS[thing.noun_id]
            assert outline is not None, f"noun {thing.noun_id} has no shape"
            self._outlines.append(outline)
        self._object_tones = [_object_tones(COLOURS[thing.colour]) for thing in scene.objects]
        skin = _SKINS[scene.skin]
        self._tones = _TONES | {
            "shadow": _scaled(self._background.mean(axis=(0, 1)), 0.55),
            "skin": skin,
            "shaded": _scaled(skin, 0.8),
            "sleeve": _SLEEVES[scene.sleeve],
        }
        rng = np.random.default_rng((scene.seed, 1))
        # Sway in x and y (scene units), roll (radians) and zoom: two slow sines each.
        most = np.array(((0.016,), (0.012,), (0.018,), (0.012,)))
        self._sway_size = sway * rng.uniform(0.3, 1.0, (4, 2)) * most
        self._sway_hz = rng.uniform((0.15, 0.5), (0.4, 1.0), (4, 2))
        self._sway_phase = rng.uniform(0, 2 * np.pi, (4, 2))

    def frame(self, time_s: float) -> np.ndarray:
        """The frame at `time_s`, uint8 RGB (height, width, 3)."""
        state = self._world.state(time_s)
        canvas = self._resting_scene(state).copy()
        self._draw_object(canvas, state.active, state.poses[state.active])
        self._draw_drops(canvas, state, time_s)
        if state.tool is not None:
            name, hand = state.tool
            mirror = np.diag((-1.0 if hand == 0 else 1.0, 1.0))
            self._draw(canvas, TOOLS[name], mirror, state.hands[hand])
        for hand, side in ((0, -1.0), (1, 1.0)):
            self._draw_hand(canvas, state.hands[hand], side)
        return self._film(canvas, time_s)

    def _resting_scene(self, state: State) -> np.ndarray:
        """Background and unused objects: redrawn only when one of them has moved."""
        order = [i for i in np.argsort(state.poses[:, Y]).tolist() if i != state.active]
        key = state.poses[order].tobytes() + bytes(order)
        if key != self._resting_key:
            self._resting_key, self._resting = key, self._background.copy()
            for index in order:
                self._draw_object(self._resting, index, state.poses[index])
        return self._resting

    def _film(self, canvas: np.ndarray, time_s: float) -> np.ndarray:
        sines = np.sin(2 * np.pi * self._sway_hz * time_s + self._sway_phase)
        x, y, roll, zoom = (self._sway_size * sines).sum(axis=1)
        turn = (1 + zoom) * _rotation(roll).T
        centre = np.array(self._size) / 2
        look_at = centre + (_MARGIN + np.array((x, y))) * self._scale
        view = np.column_stack((turn, look_at - turn @ centre))
        return cv2.warpAffine(
            canvas, view, self._size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )

    def _draw(
        self,
        canvas: np.ndarray,
        outline: Outline,
        matrix: np.ndarray | float,
        origin: np.ndarray,
        points: np.ndarray | None = None,
        tones: dict[str, Colour] | None = None,
    ) -> None:
        """Fill an outline with its points, or `points` in their stead, at row @ matrix + origin."""
        points = outline.points if points is None else points
        moved = points * matrix if isinstance(matrix, float) else points @ matrix
        fixed = np.rint((moved + (origin + _MARGIN)) * (self._scale * (1 << _SHIFT_BITS)))
        tones = self._tones if tones is None else tones
        pixels = fixed.astype(np.int32)
        for part, tone in zip(outline.slices, outline.tones, strict=True):
            cv2.fillPoly(canvas, [pixels[part]], tones[tone], cv2.LINE_AA, _SHIFT_BITS)

    def _draw_object(self, canvas: np.ndarray, index: int, pose: np.ndarray) -> None:
        self._draw(canvas, _SHADOW, screen_radius(pose), pose[[X, Y]])
        points, outline = self._outlines[index].at(float(pose[LID]), float(pose[SPLIT]))
        frame, centre = _object_frame(pose), screen_position(pose)
        self._draw(canvas, outline, frame, centre, points, self._object_tones[index])

    def _draw_drops(self, canvas: np.ndarray, state: State, time_s: float) -> None:
        """Drops fall from a tilted vessel; their phase says nothing about the direction of time."""
        pose = state.poses[state.active]
        if abs(pose[TILT]) < 0.5:
            return
        spout = self._outlines[state.active].spout @ _object_frame(pose) + screen_position(pose)
        for drop in range(4):
            fall = (drop / 4 + 7.3 * time_s) % 1
            self._draw(canvas, _DROP, 1.0, spout + (0, 0.3 * fall))

    def _draw_hand(self, canvas: np.ndarray, hand: np.ndarray, side: float) -> None:
        if hand[1] > 1.2:
            return
        elbow = np.array((WIDTH / 2 + 0.75 * side + 0.3 * (hand[0] - WIDTH / 2), 1.55))
        along = (hand - elbow) / np.hypot(*(hand - elbow))
        # Fingers (x) point away from the elbow; the thumbs (y) point at each other.
        thumbwards = side * np.array((along[1], -along[0]))
        self._draw(canvas, HAND, PALM_RADIUS * np.stack((along, thumbwards)), hand)


def _rotation(angle: float) -> np.ndarray:
    """Matrix to multiply row points (N, 2) with: clockwise on the screen for angle > 0."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array(((cosine, sine), (-sine, cosine)))


def _object_frame(pose: np.ndarray) -> np.ndarray:
    """Matrix (2, 2) from an object's unit coordinates (rows) to scene units."""
    return screen_radius(pose) * _rotation(_FULL_TURN * pose[TURN] + _FULL_TILT * pose[TILT])


def _scaled(colour: Colour | np.ndarray, factor: float) -> Colour:
    red, green, blue = (int(channel * factor) for channel in colour)
    return red, green, blue


def _object_tones(colour: Colour) -> dict[str, Colour]:
    light = tuple(int(c + (255 - c) * 0.38) for c in colour)
    tones = _TONES | {"body": colour, "dark": _scaled(colour, 0.66), "light": light}
    if min(colour) > 200:  # Marks on a white object must show.
        tones |= {"white": (84, 96, 120), "light": (206, 210, 216)}
    return tones
