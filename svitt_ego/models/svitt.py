"""SViTT-Ego: the assembled model.

B: samples; T: frames; L: text tokens; D: text width; E: video width; P: projection width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svitt_ego.config.schema import Model as ModelRecipe
from svitt_ego.config.schema import Recipe
from svitt_ego.models.fusion_encoder import FusionEncoder
from svitt_ego.models.recompute import Recompute
from svitt_ego.models.text_encoder import TextEncoder, TextOutput
from svitt_ego.models.video_encoder import Patterns, VideoEncoder, VideoOutput


class MaskedTokenHead(nn.Module):
    """BERT's prediction head; the decoder's weight is the word embedding."""

    def __init__(self, width: int, vocabulary_size: int, eps: float) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def forward(self, hidden: Tensor, word_embedding: Tensor) -> Tensor:
        """(n, D), (vocabulary, D) -> (n, vocabulary)"""
        return F.linear(self.norm(F.gelu(self.transform(hidden))), word_embedding, self.bias)


class SViTTEgo(nn.Module):
    """Video encoder, text encoder, fusion encoder and the heads of the three objectives.

    `forward` is not defined: a training task or an evaluation calls the parts it needs.
    """

    def __init__(self, recipe: ModelRecipe, recompute: Recompute = "none") -> None:
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
        self.apply(_initialise)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> "SViTTEgo":
        """Build the model and load the pretrained encoders that the recipe names.

        Raises:
            ConfigError: a named checkpoint cannot be read or does not fit.
        """
        model = cls(recipe.model, recipe.training.recompute)
        from svitt_ego.models.pretrained import load_pretrained  # heavy imports only when needed

        load_pretrained(model, recipe.model)
        return model

    def encode_video(self, video: Tensor, patterns: Patterns | None = None) -> VideoOutput:
        """(B, T, 3, H, W) uint8, one block pattern per layer (None: those of evaluation)."""
        return self.video(video, patterns)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> TextOutput:
        """ids and mask (B, L)."""
        return self.text(input_ids, attention_mask)

    def project_video(self, pooled: Tensor) -> Tensor:
        """(B, E) -> (B, P), L2-normalised."""
        return F.normalize(self.video_projection(pooled), dim=-1)

    def project_text(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, P), L2-normalised."""
        return F.normalize(self.text_projection(pooled), dim=-1)

    def fuse(self, text_tokens: Tensor, attention_mask: Tensor, video_tokens: Tensor) -> Tensor:
        """Text (B, L, D) attends to video tokens (B, 1 + N, E) -> (B, L, D)."""
        return self.fusion(text_tokens, attention_mask, video_tokens)

    def match_logits(self, fused: Tensor) -> Tensor:
        """Fused text (B, L, D) -> (B, 2); column 1 = matched."""
        return self.match_head(fused[:, 0])

    def mlm_logits(self, hidden: Tensor) -> Tensor:
        """Fused tokens at masked positions (n, D) -> (n, vocabulary)."""
        return self.mlm_head(hidden, self.text.embedding.word.weight)

    def temperature(self) -> Tensor:
        """Clamped here, in the forward pass: clamping the parameter would miss the fp32 master
        copy that ZeRO keeps."""
        limits = self.recipe.temperature
        return self.temperature_parameter[0].float().clamp(limits.minimum, limits.maximum)


def _initialise(module: nn.Module) -> None:
    """BEiT's and BERT's initialisation: N(0, 0.02), zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, VideoEncoder):
        nn.init.trunc_normal_(module.cls_token, std=0.02)
