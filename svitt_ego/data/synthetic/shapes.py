"""Outlines of objects: polygons in a unit square, x to the right, y down, both in [-1, 1]."""

from dataclasses import dataclass

import numpy as np

from svitt_ego.data.synthetic.vocabulary import NOUNS

Points = np.ndarray


@dataclass(frozen=True)
class Part:
    """A filled polygon (N, 2). `tone` is a shade of the object's colour or a fixed colour."""

    points: Points
    tone: str
    lid: bool = False


@dataclass(frozen=True)
class Lid:
    """How a lid moves as it opens: turn (radians) about the hinge and shift; or, with `flip`, fold
    over along that axis (0 = x, 1 = y). `grip` is where the hand holds it when closed."""

    hinge: tuple[float, float]
    grip: tuple[float, float]
    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: int | None = None

    def move(self, points: Points, openness: float) -> Points:
        """Points (N, 2) of the lid at openness in [0, 1]."""
        moved = points - np.array(self.hinge)
        if self.flip is not None:
            moved = moved.copy()
            moved[:, self.flip] *= 1 - 2 * openness
        sine, cosine = np.sin(openness * self.turn), np.cos(openness * self.turn)
        moved = moved @ np.array(((cosine, sine), (-sine, cosine)))
        return moved + np.array(self.hinge) + openness * np.array(self.shift)


@dataclass(frozen=True)
class Shape:
    """The parts of an object, back to front; parts of the lid move with it."""

    parts: tuple[Part, ...]
    lid: Lid | None = None
    spout: tuple[float, float] = (0.0, -0.8)


def rect(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array(((left, top), (right, top), (right, bottom), (left, bottom)), dtype=float)


def oval(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360) -> Points:
    """Ellipse or ellipse segment; degrees run clockwise from the right."""
    steps = np.radians(np.linspace(start, end, 21))
    return np.stack((x + rx * np.cos(steps), y + ry * np.sin(steps)), axis=1)


def ring(x: float, y: float, rx: float, ry: float, start: float, end: float, thick: float):
    outer = oval(x, y, rx, ry, start, end)
    return np.concatenate((outer, oval(x, y, rx - thick, ry - thick, end, start)))


def poly(*corners: tuple[float, float]) -> Points:
    return np.array(corners, dtype=float)


_SHAPES: dict[str, Shape] = {
    "cup": Shape(
        (
            Part(ring(0.62, 0.0, 0.42, 0.45, -90, 90, 0.18), "dark"),
            Part(poly((-0.72, -0.75), (0.72, -0.75), (0.55, 0.85), (-0.55, 0.85)), "body"),
            Part(oval(0, -0.75, 0.72, 0.2), "light"),
            Part(oval(0, -0.75, 0.6, 0.14), "black"),
            Part(poly((-0.66, 0.0), (0.66, 0.0), (0.63, 0.25), (-0.63, 0.25)), "white"),
        )
    ),
    "bottle": Shape(
        (
            Part(
                poly(
                    (-0.15, -0.72),
                    (0.15, -0.72),
                    (0.17, -0.45),
                    (0.45, -0.1),
                    (0.45, 0.98),
                    (-0.45, 0.98),
                    (-0.45, -0.1),
                    (-0.17, -0.45),
                ),
                "body",
            ),
            Part(rect(-0.45, 0.2, 0.45, 0.65), "white"),
            Part(rect(0.28, -0.1, 0.4, 0.98), "light"),
            Part(oval(0, -0.72, 0.15, 0.06), "black"),
            Part(rect(-0.26, -1.0, 0.26, -0.62), "black", lid=True),
            Part(rect(-0.26, -0.98, 0.26, -0.86), "grey", lid=True),
        ),
        Lid((0, -0.8), (0.1, -0.8), turn=1.2, shift=(0.75, 0.1)),
        spout=(0.0, -0.85),
    ),
    "bowl": Shape(
        (
            Part(rect(-0.35, 0.55, 0.35, 0.8), "dark"),
            Part(oval(0, -0.25, 1.0, 0.95, 0, 180), "body"),
            Part(oval(0, -0.25, 1.0, 0.3), "light"),
            Part(oval(0, -0.25, 0.86, 0.22), "black"),
            Part(oval(-0.45, 0.2, 0.12, 0.12), "white"),
            Part(oval(0.0, 0.3, 0.12, 0.12), "white"),
            Part(oval(0.45, 0.2, 0.12, 0.12), "white"),
        ),
        spout=(0.0, -0.3),
    ),
    "teapot": Shape(
        (
            Part(ring(0.55, 0.15, 0.45, 0.45, -100, 100, 0.15), "dark"),
            Part(poly((-0.4, 0.35), (-1.02, -0.5), (-0.78, -0.6), (-0.3, -0.1)), "dark"),
            Part(oval(0, 0.2, 0.7, 0.68), "body"),
            Part(oval(-0.25, 0.0, 0.16, 0.22), "light"),
            Part(oval(0, -0.38, 0.42, 0.12), "black"),
            Part(oval(0, -0.38, 0.46, 0.4, 180, 360), "light", lid=True),
            Part(oval(0, -0.82, 0.13, 0.13), "white", lid=True),
        ),
        Lid((0.42, -0.4), (0.0, -0.8), turn=1.9),
        spout=(-0.9, -0.6),
    ),
    "pot": Shape(
        (
            Part(rect(-1.02, -0.15, 1.02, 0.08), "black"),
            Part(rect(-0.78, -0.35, 0.78, 0.8), "body"),
            Part(rect(-0.78, 0.55, 0.78, 0.8), "dark"),
            Part(oval(0, -0.35, 0.78, 0.2), "black"),
            Part(oval(0, -0.33, 0.84, 0.42, 180, 360), "light", lid=True),
            Part(rect(-0.84, -0.38, 0.84, -0.26), "white", lid=True),
            Part(oval(0, -0.8, 0.14, 0.12), "black", lid=True),
        ),
        Lid((-0.8, -0.35), (0.15, -0.75), turn=-1.9),
        spout=(0.0, -0.5),
    ),
    "jar": Shape(
        (
            Part(rect(-0.62, -0.4, 0.62, 0.95), "body"),
            Part(rect(-0.5, -0.55, 0.5, -0.35), "dark"),
            Part(oval(0, -0.55, 0.5, 0.12), "black"),
            Part(oval(0, 0.3, 0.42, 0.42), "white"),
            Part(poly((0, 0.02), (0.22, 0.45), (-0.22, 0.45)), "body"),
            Part(rect(-0.68, -0.9, 0.68, -0.45), "black", lid=True),
            Part(rect(-0.68, -0.78, 0.68, -0.68), "light", lid=True),
        ),
        Lid((-0.65, -0.45), (0.3, -0.75), turn=-1.8, shift=(-0.1, 0.0)),
        spout=(0.0, -0.6),
    ),
    "book": Shape(
        (
            Part(rect(-0.66, -0.9, 0.74, 0.9), "dark"),
            Part(rect(-0.6, -0.84, 0.68, 0.84), "white"),
            *(Part(rect(-0.42, y, 0.5, y + 0.07), "grey") for y in (-0.6, -0.3, 0.0, 0.3, 0.6)),
            Part(rect(-0.66, -0.9, 0.74, 0.9), "body", lid=True),
            Part(rect(-0.3, -0.6, 0.5, -0.3), "white", lid=True),
            Part(rect(-0.66, -0.9, -0.52, 0.9), "dark", lid=True),
        ),
        Lid((-0.66, 0), (0.6, 0.3), flip=0),
    ),
    "box": Shape(
        (
            Part(poly((-0.9, -0.15), (0.9, -0.15), (0.68, -0.65), (-0.68, -0.65)), "black"),
            Part(rect(-0.9, -0.15, 0.9, 0.85), "body"),
            Part(rect(-0.14, -0.15, 0.14, 0.85), "white"),
            Part(poly((-0.95, -0.1), (0.95, -0.1), (0.7, -0.7), (-0.7, -0.7)), "light", lid=True),
            Part(poly((-0.14, -0.1), (0.14, -0.1), (0.11, -0.7), (-0.11, -0.7)), "white", lid=True),
        ),
        Lid((-0.85, -0.2), (0.4, -0.35), turn=-1.8),
    ),
    "bag": Shape(
        (
            Part(ring(0, -0.2, 0.5, 0.75, 180, 360, 0.14), "dark"),
            Part(poly((-0.75, -0.25), (0.75, -0.25), (0.92, 0.9), (-0.92, 0.9)), "body"),
            Part(poly((-0.7, -0.2), (0.7, -0.2), (0.6, 0.1), (-0.6, 0.1)), "black"),
            Part(
                poly((-0.8, -0.25), (0.8, -0.25), (0.62, 0.42), (0, 0.6), (-0.62, 0.42)),
                "light",
                lid=True,
            ),
            Part(oval(0, 0.4, 0.12, 0.12), "white", lid=True),
        ),
        Lid((0, -0.25), (0.15, 0.35), flip=1),
    ),
    "apple": Shape(
        (
            Part(oval(-0.28, 0.1, 0.6, 0.75), "body"),
            Part(oval(0.28, 0.1, 0.6, 0.75), "body"),
            Part(oval(-0.4, -0.15, 0.16, 0.22), "light"),
            Part(rect(-0.06, -0.95, 0.06, -0.45), "black"),
            Part(oval(0.32, -0.8, 0.32, 0.15), "leaf"),
        )
    ),
    "carrot": Shape(
        (
            Part(poly((-0.1, -0.5), (-0.5, -1.0), (-0.2, -0.95), (0.0, -0.6)), "leaf"),
            Part(poly((-0.05, -0.5), (0.0, -1.02), (0.22, -0.98), (0.12, -0.5)), "leaf"),
            Part(poly((0.05, -0.5), (0.42, -0.95), (0.58, -0.8), (0.2, -0.5)), "leaf"),
            Part(
                poly((-0.46, -0.35), (-0.3, -0.55), (0.3, -0.55), (0.46, -0.35), (0.0, 1.0)),
                "body",
            ),
            Part(rect(-0.36, -0.2, 0.05, -0.1), "dark"),
            Part(rect(-0.1, 0.1, 0.24, 0.2), "dark"),
            Part(rect(-0.16, 0.42, 0.06, 0.52), "dark"),
        )
    ),
    "bread": Shape(
        (
            Part(rect(-0.95, -0.1, 0.95, 0.6), "dark"),
            Part(oval(0, 0.05, 1.0, 0.68, 180, 360), "body"),
            Part(rect(-1.0, 0.0, 1.0, 0.35), "body"),
            *(
                Part(poly((x, -0.5), (x + 0.16, -0.52), (x + 0.02, 0.0), (x - 0.12, 0.0)), "white")
                for x in (-0.5, -0.02, 0.46)
            ),
        )
    ),
    "cheese": Shape(
        (
            Part(poly((-0.98, 0.1), (0.95, -0.65), (0.95, 0.1)), "light"),
            Part(rect(-0.98, 0.08, 0.95, 0.75), "body"),
            Part(oval(-0.5, 0.4, 0.17, 0.15), "black"),
            Part(oval(0.15, 0.55, 0.14, 0.12), "black"),
            Part(oval(0.6, 0.32, 0.2, 0.17), "black"),
        )
    ),
    "hammer": Shape(
        (
            Part(rect(-0.13, -0.5, 0.13, 1.0), "body"),
            Part(rect(-0.15, 0.55, 0.15, 0.7), "white"),
            Part(rect(-0.7, -0.95, 0.5, -0.45), "black"),
            Part(poly((0.5, -0.95), (0.92, -0.62), (0.5, -0.5)), "black"),
            Part(rect(-0.7, -0.95, -0.52, -0.45), "grey"),
        )
    ),
    "brush": Shape(
        (
            Part(poly((-0.1, 0.1), (0.1, 0.1), (0.18, 1.0), (-0.18, 1.0)), "body"),
            Part(rect(-0.55, -0.3, 0.55, 0.15), "body"),
            Part(rect(-0.55, -0.38, 0.55, -0.22), "grey"),
            Part(
                poly((-0.52, -0.35), (-0.6, -1.0), (-0.1, -0.85), (0.6, -1.0), (0.52, -0.35)),
                "white",
            ),
        )
    ),
    "shoe": Shape(
        (
            Part(
                poly(
                    (-0.85, -0.6),
                    (-0.25, -0.6),
                    (0.0, -0.15),
                    (0.7, 0.05),
                    (0.98, 0.45),
                    (-0.9, 0.45),
                ),
                "body",
            ),
            Part(oval(-0.55, -0.58, 0.3, 0.12), "black"),
            Part(rect(-0.92, 0.4, 1.0, 0.65), "white"),
            Part(poly((-0.2, -0.45), (0.0, -0.5), (0.1, -0.38), (-0.1, -0.3)), "white"),
            Part(poly((0.0, -0.2), (0.2, -0.28), (0.3, -0.16), (0.1, -0.05)), "white"),
        )
    ),
}


SHAPES: tuple[Shape | None, ...] = tuple(_SHAPES.get(noun.name) for noun in NOUNS)


def lid_grip(noun_id: int, openness: float) -> np.ndarray:
    """Where (2,) a hand holds the lid of an object, in the object's unit coordinates."""
    shape = SHAPES[noun_id]
    assert shape is not None and shape.lid is not None, f"noun {noun_id} has no lid"
    return shape.lid.move(np.array((shape.lid.grip,)), openness)[0]
