"""Augmentation and resizing of a clip: uint8 in, uint8 out, the same for all its frames."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from svitt_ego.config.schema import Augmentation

ASPECT_RATIOS = (3 / 4, 4 / 3)
"""Width over height of a crop, as in torchvision's RandomResizedCrop."""

_ATTEMPTS = 10


@dataclass(frozen=True)
class Crop:
    """A rectangle of the frame, pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False


def draw_crop(
    height: int, width: int, augmentation: Augmentation, rng: np.random.Generator
) -> Crop:
    """A training crop: share of the area and log aspect ratio uniform, place uniform.

    Where ten draws do not fit in the frame: the largest centred crop of an allowed aspect ratio,
    as torchvision does. A crop_scale of (1, 1) is the whole frame.
    """
    flip = augmentation.horizontal_flip and bool(rng.random() < 0.5)
    if augmentation.crop_scale == (1.0, 1.0):
        return Crop(0, 0, height, width, flip)
    low, high = (math.log(ratio) for ratio in ASPECT_RATIOS)
    for _ in range(_ATTEMPTS):
        area = rng.uniform(*augmentation.crop_scale) * height * width
        ratio = math.exp(rng.uniform(low, high))
        crop_height, crop_width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            top = int(rng.integers(height - crop_height + 1))
            left = int(rng.integers(width - crop_width + 1))
            return Crop(top, left, crop_height, crop_width, flip)
    crop_width = min(width, round(height * ASPECT_RATIOS[1]))
    crop_height = min(height, round(width / ASPECT_RATIOS[0]))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return Crop(top, left, crop_height, crop_width, flip)


def cut(clip: Tensor, crop: Crop) -> Tensor:
    """The crop's rectangle of a clip (T, 3, H, W), a view."""
    return clip[..., crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]


def resize_clip(clip: Tensor, size: int, mirrored: bool = False) -> Tensor:
    """Resize to a square, bicubic with antialiasing, and mirror; on the device where the clip is.

    Args:
        clip: (T, 3, H, W) uint8.
        size: height and width of the result, pixels.

    Returns:
        (T, 3, size, size) uint8, contiguous.
    """
    clip = F.resize(clip, [size, size], InterpolationMode.BICUBIC, antialias=True)
    return (clip.flip(-1) if mirrored else clip).contiguous()
