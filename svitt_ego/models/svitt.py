"""SViTT-Ego: the assembled model.

B: samples; T: frames; L: text tokens; D: text width; E: video width; P: projection width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.schema import Model as ModelRecipe
from svitt_ego.config.schema import Recipe, Recompute
from svitt_ego.models.fusion_encoder import FusionEncoder
from svitt_ego.models.masked_token_head import MaskedTokenHead
from svitt_ego.models.recompute import STORE_ALL
from svitt_ego.models.text_encoder import TextEncoder, TextOutput
from svitt_ego.models.video_encoder import Patterns, VideoEncoder, VideoOutput


class SViTTEgo(nn.Module):
    """Video encoder, text encoder, fusion encoder and the heads of the three objectives.

    `forward` is not defined: a training task or an evaluation calls the parts it needs.
    """

    def __init__(self, recipe: ModelRecipe, recompute: Recompute = STORE_ALL) -> None:
        super().__init__()
        video, text = recipe.video, recipe.text
        self.recipe = recipe
        self.video = VideoEncoder(video, recompute)
        self.text = TextEncoder(text, recompute)
        self.fusion = FusionEncoder(recipe.fusion, text, video.width, recompute)
        self.video_projection = nn.Linear(video.width, recipe.projection_width)
        self.text_projection = nn.Linear(text.width, recipe.projection_width)
        self.match_head = nn.Linear(text.width, 2)
        self.mlm_head = MaskedTokenHead(text.width, text.vocabulary_size, text.layer_norm_eps)
        # of shape (1,): DeepSpeed cannot broadcast parameters without dimensions
        initial = torch.tensor([recipe.temperature.initial])
        self.temperature_parameter = nn.Parameter(
            initial, requires_grad=recipe.temperature.learnable
        )
        _initialise(self, text.initialisation)
        for module in (self.video, self.video_projection):
            _initialise(module, video.initialisation)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> "SViTTEgo":
        """Build the model and load the pretrained weights that the recipe names.

        Raises:
            ConfigError: a named checkpoint cannot be read or does not fit.
        """
        model = cls(recipe.model, recipe.training.recompute)
        from svitt_ego.models.pretrained import load_pretrained  # heavy imports only when needed

        load_pretrained(model, recipe.model)
        return model

    @classmethod
    def from_svitt(cls, state_dict: Mapping[str, Tensor], recipe: Recipe) -> "SViTTEgo":
        """Build the model and load an original SViTT checkpoint of the recipe's sizes.

        The recipe's `pretrained` encoders are not read. SViTT pools the mean of the patch tokens:
        set `model.video.pooling: mean` to compute what it computes.

        Raises:
            ConfigError: naming missing and unknown tensors and those of other shapes.
        """
        model = cls(recipe.model, recipe.training.recompute)
        from svitt_ego.models.pretrained.svitt import load_svitt

        load_svitt(model, state_dict)
        return model

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "SViTTEgo":
        """A trained model from a folder of launch/export.py, in evaluation mode and fp32.

            model = SViTTEgo.from_pretrained("exported")
            features = model.project_video(model.encode_video(clips).pooled)

        Only safetensors are read; a folder with pickled weights alone is refused.

        Raises:
            ConfigError: something in the folder is missing, damaged, or does not fit.
        """
        from svitt_ego.models.folder import load_folder, load_model

        recipe, weights = load_folder(Path(folder))
        return load_model(cls(recipe), weights)

    def encode_video(self, video: Tensor, patterns: Patterns | None = None) -> VideoOutput:
        """(B, T, 3, H, W) uint8, one block pattern per layer (None: those of evaluation)."""
        return self.video(video, patterns)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> TextOutput:
        """ids and mask (B, L)."""
        return self.text(input_ids, attention_mask)

    def project_video(self, pooled: Tensor) -> Tensor:
        """(B, E) -> (B, P), L2-normalised."""
        return F.normalize(self.video_projection(pooled), dim=-1)

    def project_text(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, P), L2-normalised. Trained on [CLS] alone, the pooled token."""
        return F.normalize(self.text_projection(hidden), dim=-1)

    def fuse(
        self,
        text_tokens: Tensor,
        attention_mask: Tensor,
        video_tokens: Tensor,
        video_index: Tensor | None = None,
    ) -> Tensor:
        """Text (B, L, D) attends to video tokens (V, 1 + N, E) -> (B, L, D). `video_index` (B,)
        int64 is the video of each text, so that several texts share one; None: text i, video i."""
        return self.fusion(text_tokens, attention_mask, video_tokens, video_index)

    def match_logits(self, fused: Tensor) -> Tensor:
        """Fused text (B, L, D) -> (B, 2); column 1 = matched."""
        return self.match_head(fused[:, 0])

    def mlm_logits(self, hidden: Tensor) -> Tensor:
        """Fused tokens at masked positions (n, D) -> (n, vocabulary)."""
        return self.mlm_head(hidden, self.text.embedding.word.weight)

    def mlm_loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of `mlm_logits`, without holding them: (n, D), (n,) -> scalar."""
        return self.mlm_head.loss(hidden, labels, self.text.embedding.word.weight)

    def temperature(self) -> Tensor:
        """Clamped here, in the forward pass: clamping the parameter would miss the fp32 master
        copy that ZeRO keeps."""
        limits = self.recipe.temperature
        return self.temperature_parameter[0].float().clamp(limits.minimum, limits.maximum)


def _initialise(module: nn.Module, initialisation: Literal["fixed", "fan_in"]) -> None:
    """Normal weights, zero biases. Embeddings and [CLS] always have BEiT's and BERT's 0.02."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            std = 0.02 if initialisation == "fixed" else part.in_features**-0.5
            nn.init.trunc_normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        elif isinstance(part, VideoEncoder):
            nn.init.trunc_normal_(part.cls_token, std=0.02)
