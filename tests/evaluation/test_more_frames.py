"""A model trained on short clips sees longer ones."""

import torch

from svitt_ego.evaluation.more_frames import with_max_frames
from svitt_ego.models import SViTTEgo


def test_distances_in_time_are_stretched_and_the_rest_stays(recipe):
    torch.manual_seed(0)
    model = SViTTEgo(recipe.model).eval()
    for layer in model.video.layers:
        torch.nn.init.normal_(layer.attention.bias_table)
    assert with_max_frames(model, 3) is model
    longer = with_max_frames(model, 8)
    assert longer.recipe.video.max_frames == 8 and not longer.training
    video = torch.randint(0, 256, (2, 8, 3, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        assert longer.encode_video(video).pooled.isfinite().all()

    space = (2 * model.recipe.video.grid_size - 1) ** 2
    old, new = (m.video.layers[0].attention.bias_table for m in (model, longer))
    assert torch.equal(old[-3:], new[-3:])
    # 7 distances become 15: the nearest to new place i is old place floor(7 i / 15)
    for place in range(15):
        expected = old[(7 * place // 15) * space :][:space]
        assert torch.equal(new[place * space :][:space], expected)
    assert torch.equal(model.text.embedding.word.weight, longer.text.embedding.word.weight)


def test_absolute_positions_in_time_are_the_nearest(recipe):
    video = recipe.model.video.model_copy(update={"absolute_positions": True})
    model = SViTTEgo(recipe.model.model_copy(update={"video": video})).eval()
    longer = with_max_frames(model, 8)
    old, new = (m.video.positions.time for m in (model, longer))
    assert torch.equal(new, old.repeat_interleave(2, dim=0))
    assert torch.equal(longer.video.positions.space, model.video.positions.space)
    clip = torch.randint(0, 256, (1, 8, 3, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        assert longer.encode_video(clip).pooled.isfinite().all()
