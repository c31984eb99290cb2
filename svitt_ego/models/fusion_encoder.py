"""The multimodal encoder: BERT's last layers, text attending to the video's tokens."""

from torch import Tensor, nn

from svitt_ego.config.schema import FusionEncoder as FusionRecipe
from svitt_ego.config.schema import TextEncoder as TextRecipe
from svitt_ego.models.bert_layer import BertLayer
from svitt_ego.models.recompute import Recompute, run_layer
from svitt_ego.models.token_drop import keep_count, keep_tokens, select_tokens


class FusionEncoder(nn.Module):
    def __init__(
        self,
        recipe: FusionRecipe,
        text: TextRecipe,
        video_width: int,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.recompute = recompute
        self.layers = nn.ModuleList(BertLayer(text, video_width) for _ in range(recipe.layers))

    def forward(self, text: Tensor, attention_mask: Tensor, video_tokens: Tensor) -> Tensor:
        """Text (B, L, D), mask (B, L), video tokens (B, 1 + N, E) with [CLS] first -> (B, L, D).

        Video tokens are dropped after the cross-attention that scored them, so the drop is
        effective from the next layer on; the video's [CLS] always stays.
        """
        mask = attention_mask.bool()
        node = self.recipe.node_sparsity
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            # after the last layer nothing reads the video tokens: no need to score them
            drops = node is not None and index in node.layers and index < last
            text, cls_scores = run_layer(
                layer, text, mask, video_tokens, drops, recompute=self.recompute
            )
            if drops:
                patch_scores = cls_scores[:, 1:]
                keep = keep_count(patch_scores.shape[1], node.keep_rate)
                video_tokens = keep_tokens(video_tokens, select_tokens(patch_scores, keep))
        return text
