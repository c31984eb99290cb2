"""Outlines of hands and of the tools they hold.

Hands: x points from the wrist to the fingertips, y towards the thumb of a right hand; the origin is
the middle of the palm, the unit one palm radius. Tools: scene units from the hand, as held in the
right hand; both are mirrored for the left.
"""

import numpy as np

from svitt_ego.data.synthetic.outlines import Outline
from svitt_ego.data.synthetic.shapes import Part, oval, poly, rect

PALM_RADIUS = 0.058


def _finger(x: float, y: float, length: float, lean: float) -> np.ndarray:
    half, tip = 0.26, 0.2
    return poly(
        (x, y - half),
        (x + length - tip, y - half + lean),
        (x + length, y - 0.5 * half + lean),
        (x + length, y + 0.5 * half + lean),
        (x + length - tip, y + half + lean),
        (x, y + half),
    )


HAND = Outline(
    (
        Part(poly((-0.6, -0.62), (-0.6, 0.62), (-20.0, 1.5), (-20.0, -1.5)), "skin"),
        Part(poly((-3.0, -1.05), (-3.0, 1.05), (-20.0, 2.4), (-20.0, -2.4)), "sleeve"),
        Part(_finger(0.2, -0.78, 1.25, 0.1), "skin"),
        Part(_finger(0.3, -0.27, 1.55, 0.12), "shaded"),
        Part(_finger(0.3, 0.25, 1.55, 0.14), "skin"),
        Part(_finger(0.2, 0.74, 1.3, 0.2), "shaded"),
        Part(oval(0, 0, 1.05, 1.05), "skin"),
        Part(poly((-0.5, 0.5), (0.2, 1.75), (0.55, 1.7), (0.6, 1.4), (0.25, 0.5)), "shaded"),
    )
)

TOOLS = {
    "cut": Outline(
        (
            Part(rect(-0.1, -0.022, 0.04, 0.022), "handle"),
            Part(poly((-0.08, -0.034), (-0.36, -0.034), (-0.42, 0.03), (-0.08, 0.04)), "steel"),
            Part(poly((-0.08, 0.022), (-0.4, 0.018), (-0.42, 0.03), (-0.08, 0.04)), "edge"),
        )
    ),
    "stir": Outline(
        (
            Part(poly((0.01, -0.02), (0.02, 0.02), (-0.14, 0.17), (-0.17, 0.14)), "wood"),
            Part(oval(-0.17, 0.17, 0.07, 0.055), "wood"),
            Part(oval(-0.17, 0.17, 0.042, 0.03), "handle"),
        )
    ),
    "wipe": Outline(
        (
            Part(
                poly((-0.17, -0.06), (-0.02, -0.13), (0.15, -0.08), (0.16, 0.09), (-0.16, 0.1)),
                "cloth",
            ),
            *(
                Part(
                    poly((x, -0.08), (x + 0.022, -0.09), (x + 0.03, 0.09), (x + 0.008, 0.09)),
                    "edge",
                )
                for x in (-0.12, -0.04, 0.04, 0.11)
            ),
        )
    ),
}
