"""The multimodal encoder: BERT's last layers, text attending to the video's tokens."""

from torch import Tensor, nn

from svitt_ego.config.schema import FusionEncoder as FusionRecipe
from svitt_ego.config.schema import Recompute
from svitt_ego.config.schema import TextEncoder as TextRecipe
from svitt_ego.models.bert_layer import BertLayer
from svitt_ego.models.node_strategies import reduce_tokens
from svitt_ego.models.recompute import run_layer
from svitt_ego.models.token_drop import keep_count


class FusionEncoder(nn.Module):
    def __init__(
        self,
        recipe: FusionRecipe,
        text: TextRecipe,
        video_width: int,
        recompute: Recompute,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.recompute = recompute
        self.layers = nn.ModuleList(BertLayer(text, video_width) for _ in range(recipe.layers))

    def forward(
        self,
        text: Tensor,
        attention_mask: Tensor,
        video_tokens: Tensor,
        video_index: Tensor | None = None,
    ) -> Tensor:
        """Text (B, L, D), mask (B, L), video tokens (V, 1 + N, E) with [CLS] first, the video of
        each text (B,) int64 or None where text i sees video i -> (B, L, D).

        Video tokens are dropped after the cross-attention that scored them, so the drop is
        effective from the next layer on; the video's [CLS] always stays. Until the first drop that
        goes by the text, the texts of one video share its keys and values.
        """
        mask = attention_mask.bool()
        node = self.recipe.node_sparsity
        last = len(self.layers) - 1
        sizes: Tensor | None = None
        for index, layer in enumerate(self.layers):
            text, cls_scores = run_layer(
                self.recompute, index, layer, text, mask, video_tokens, video_index
            )
            # after the last layer nothing reads the video tokens
            if node is not None and index in node.layers and index < last:
                reduction = reduce_tokens(
                    node.strategy,
                    video_tokens,
                    keep_count(video_tokens.shape[1] - 1, node.keep_rate),
                    cls_scores=cls_scores[:, 1:],
                    source_index=video_index,
                    sizes=sizes,
                    training=self.training,
                )
                video_tokens, sizes = reduction.tokens, reduction.sizes
                video_index = reduction.source_index
        return text
