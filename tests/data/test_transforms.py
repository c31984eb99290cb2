"""One crop for all frames, drawn as torchvision draws it."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from svitt_ego.config.schema import Augmentation
from svitt_ego.data.transforms import ASPECT_RATIOS, Crop, cut, draw_crop, resize_clip


def random_clip(height=48, width=80, frames=3, seed=0):
    """Grey levels far enough from 0 and 255 that bicubic overshoot is never cut."""
    generator = torch.Generator().manual_seed(seed)
    size = (frames, 3, height, width)
    return torch.randint(80, 176, size, dtype=torch.uint8, generator=generator)


def test_all_frames_are_cropped_resized_and_mirrored_alike():
    frame = random_clip(frames=1)
    rng = np.random.default_rng(1)
    for _ in range(10):
        crop = draw_crop(48, 80, Augmentation(), rng)
        out = resize_clip(cut(frame.expand(4, -1, -1, -1), crop), 32, crop.flip)
        assert out.shape == (4, 3, 32, 32) and out.dtype == torch.uint8
        assert all(torch.equal(out[0], other) for other in out)


def test_result_is_the_resized_rectangle():
    clip = random_clip()
    crop = Crop(top=5, left=11, height=30, width=40, flip=True)
    part = clip[:, :, 5:35, 11:51]
    expected = F.resize(part.float(), [24, 24], F.InterpolationMode.BICUBIC, antialias=True)
    out = resize_clip(cut(clip, crop), 24, crop.flip)
    # uint8 arithmetic rounds its filter weights and between its two passes.
    assert (out.float() - expected.flip(-1)).abs().max() <= 2


def test_evaluation_resizes_the_whole_frame():
    clip = random_clip()
    expected = F.resize(clip.float(), [24, 24], F.InterpolationMode.BICUBIC, antialias=True)
    assert (resize_clip(clip, 24).float() - expected).abs().max() <= 2


def test_memory_order_of_the_decoder_changes_nothing():
    clip = random_clip()
    as_decoded = clip.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    out = resize_clip(as_decoded, 24)
    assert out.is_contiguous() and torch.equal(out, resize_clip(clip, 24))


def test_crops_are_in_the_frame_and_in_range():
    rng = np.random.default_rng(2)
    augmentation = Augmentation(crop_scale=(0.3, 0.6))
    crops = [draw_crop(256, 340, augmentation, rng) for _ in range(2000)]
    for crop in crops:
        assert 0 <= crop.top <= 256 - crop.height and 0 <= crop.left <= 340 - crop.width
        assert 0.29 < crop.height * crop.width / (256 * 340) < 0.61
        assert ASPECT_RATIOS[0] - 0.02 < crop.width / crop.height < ASPECT_RATIOS[1] + 0.02
    areas = np.array([crop.height * crop.width for crop in crops]) / (256 * 340)
    assert abs(areas.mean() - 0.45) < 0.01  # uniform; 5 standard errors are 0.0097
    assert abs(np.mean([crop.flip for crop in crops]) - 0.5) < 0.06


def test_no_flip_where_left_and_right_are_labels():
    rng = np.random.default_rng(3)
    augmentation = Augmentation(horizontal_flip=False)
    assert not any(draw_crop(64, 64, augmentation, rng).flip for _ in range(50))


def test_crop_scale_one_is_no_crop():
    augmentation = Augmentation(crop_scale=(1.0, 1.0), horizontal_flip=False)
    crop = draw_crop(256, 456, augmentation, np.random.default_rng(0))
    assert crop == Crop(0, 0, 256, 456)
    clip = random_clip()
    assert torch.equal(resize_clip(cut(clip, Crop(0, 0, 48, 80)), 32), resize_clip(clip, 32))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(100, 400, Crop(0, 134, 100, 133)), (400, 100, Crop(134, 0, 133, 100))],
)
def test_frames_too_long_for_the_crop_are_cut_in_the_centre(height, width, expected):
    augmentation = Augmentation(crop_scale=(0.95, 1.0), horizontal_flip=False)
    crop = draw_crop(height, width, augmentation, np.random.default_rng(0))
    assert (crop.height, crop.width) == (expected.height, expected.width)
    assert abs(crop.top - expected.top) <= 1 and abs(crop.left - expected.left) <= 1
