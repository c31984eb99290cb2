"""Clips of more frames than a model was trained on."""

import torch
from torch import Tensor

from svitt_ego.models import SViTTEgo
from svitt_ego.models.absolute_positions import fit_times
from svitt_ego.models.pretrained.inflate import fit_bias_table


@torch.no_grad()
def with_max_frames(model: SViTTEgo, frames: int) -> SViTTEgo:
    """The model itself, or one whose position tables hold `frames` frames: the biases of distances
    in time are interpolated to the nearest, as when SViTT goes on with more frames, and so are
    absolute positions in time, where there are any."""
    video = model.recipe.video
    if frames <= video.max_frames:
        return model
    longer = model.recipe.model_copy(
        update={"video": video.model_copy(update={"max_frames": frames})}
    )
    old, new = ((f, video.grid_size, video.grid_size) for f in (video.max_frames, frames))

    def fitted(name: str, tensor: Tensor) -> Tensor:
        if name.endswith("bias_table"):
            return fit_bias_table(tensor, old, new)
        return fit_times(tensor, frames) if name == "video.positions.time" else tensor

    weights = {name: fitted(name, tensor) for name, tensor in model.state_dict().items()}
    stretched = SViTTEgo(longer)
    stretched.load_state_dict(weights)
    return stretched.train(model.training)
