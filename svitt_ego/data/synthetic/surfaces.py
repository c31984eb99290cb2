"""Table surfaces and clutter: the background of a scene as an image."""

from collections.abc import Callable

import cv2
import numpy as np

Painter = Callable[[np.random.Generator, int, int], np.ndarray]


def _noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise (height, width) in [-1, 1] with about `cells` (down, across) bumps."""
    grid = rng.uniform(-1, 1, size=cells).astype(np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), -1, 1)


def _mix(first: tuple, second: tuple, share: np.ndarray) -> np.ndarray:
    return np.array(first) + (np.array(second) - np.array(first)) * share[..., None]


def _wood(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y = np.linspace(0, 1, height)[:, None]
    wave = y * rng.uniform(18, 30) + 1.6 * _noise(rng, height, width, (4, 3))
    share = 0.5 + 0.5 * np.sin(wave) * 0.7 + 0.15 * _noise(rng, height, width, (height, 6))
    pale = ((168, 128, 88), (126, 88, 56)) if rng.random() < 0.5 else ((112, 78, 56), (78, 52, 38))
    return _mix(*pale, share)


def _planks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    image = _wood(rng, height, width)
    edges = np.linspace(0, width, int(rng.integers(5, 8))).astype(int)
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        image[:, left:right] *= rng.uniform(0.85, 1.1)
        image[:, left : left + max(1, width // 120)] *= 0.6
    return image


def _checked(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cells = rng.integers(9, 13)
    y, x = np.mgrid[:height, :width] * cells / height
    share = ((np.floor(x) + np.floor(y)) % 2) * 0.8 + 0.1
    dark = ((88, 104, 130), (120, 84, 88), (86, 112, 96))[rng.integers(3)]
    return _mix((186, 186, 180), dark, share)


def _striped(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    x = np.linspace(0, 4 / 3, width)[None, :].repeat(height, 0)
    share = (np.sin(x * rng.uniform(35, 55)) > 0.2).astype(float)
    dark = ((104, 116, 140), (140, 104, 104), (110, 124, 108))[rng.integers(3)]
    return _mix((176, 172, 162), dark, share)


def _marble(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    vein = np.abs(_noise(rng, height, width, (7, 9)) + 0.4 * _noise(rng, height, width, (20, 26)))
    return _mix((120, 122, 128), (184, 184, 182), np.clip(vein * 3, 0, 1))


def _granite(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    speckle = 0.5 + 0.5 * _noise(rng, height, width, (height // 2, width // 2))
    dark = ((60, 62, 68), (84, 76, 72))[rng.integers(2)]
    return _mix(dark, (136, 134, 132), speckle)


def _tiled(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cells = rng.uniform(3.5, 6)
    y, x = np.mgrid[:height, :width] * cells / height
    tint = rng.uniform(0.85, 1.0, size=(64, 64))[y.astype(int), x.astype(int)]
    colour = ((150, 156, 158), (142, 130, 116), (112, 128, 134))[rng.integers(3)]
    image = np.array(colour) * tint[..., None]
    image[((x % 1) < 0.06) | ((y % 1) < 0.06)] = (96, 94, 90)
    return image


def _cloth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / height
    weave = 0.5 + 0.25 * np.sin(x * 160) * np.sin(y * 160)
    fold = 0.25 * _noise(rng, height, width, (3, 4))
    dark = ((74, 84, 104), (104, 80, 82), (78, 96, 88), (100, 94, 80))[rng.integers(4)]
    return _mix(dark, tuple(c + 50 for c in dark), weave + fold)


SURFACES: dict[str, Painter] = {
    "wood": _wood,
    "planks": _planks,
    "checked": _checked,
    "striped": _striped,
    "marble": _marble,
    "granite": _granite,
    "tiled": _tiled,
    "cloth": _cloth,
}


def paint_background(surface: str, seed: int, light: float, height: int, width: int) -> np.ndarray:
    """Table with clutter and a wall behind it: uint8 RGB (height, width, 3).

    The texture is drawn at a fixed resolution and resized, so that a scene looks alike at every
    frame size.
    """
    rng = np.random.default_rng(seed)
    rows, columns = 240, round(240 * width / height)
    image = SURFACES[surface](rng, rows, columns)
    horizon = int(rows * rng.uniform(0.1, 0.16))
    wall = np.array(((150, 150, 146), (120, 128, 138), (136, 122, 112), (96, 104, 100)))
    image[:horizon] = (
        wall[rng.integers(4)] * (1 + 0.06 * _noise(rng, horizon, columns, (2, 8)))[..., None]
    )
    image[horizon : horizon + 4] *= 0.6
    image *= np.linspace(0.8, 1.05, rows)[:, None, None]
    image *= (light * (1 + 0.12 * _noise(rng, rows, columns, (2, 2))))[..., None]
    image *= rng.uniform(0.95, 1.05, size=3)
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(4, 9))):
        _paint_clutter(rng, image, horizon)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _paint_clutter(rng: np.random.Generator, image: np.ndarray, horizon: int) -> None:
    """A dull coin, napkin, crumb trail or stick: something that is never acted on."""
    height, width = image.shape[:2]
    x, y = int(rng.integers(width)), int(rng.integers(horizon + 12, height))
    colour = tuple(int(c) for c in rng.integers(70, 175) + rng.integers(-14, 15, size=3))
    size = int(rng.integers(5, 13))
    kind = rng.integers(4)
    if kind == 0:
        cv2.circle(image, (x, y), size // 2, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        box = cv2.boxPoints(((x, y), (size * 3, size * 2), float(rng.uniform(0, 90))))
        cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
    elif kind == 2:
        for dx, dy in rng.normal(0, size, size=(6, 2)):
            cv2.circle(image, (int(x + dx), int(y + dy)), 1, colour, -1, cv2.LINE_AA)
    else:
        angle = rng.uniform(0, np.pi)
        end = (int(x + 3 * size * np.cos(angle)), int(y + 3 * size * np.sin(angle)))
        cv2.line(image, (x, y), end, colour, 2, cv2.LINE_AA)
