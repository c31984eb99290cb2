"""Floating-point operations that a training step needs, worked out from the recipe alone.

Counted are matrix products, two operations for each multiplication with its addition, as
`torch.utils.flop_counter` counts them; everything else (softmax, LayerNorm, GELU, optimiser) is
below a percent. A product's backward pass is two products of its size, one for each factor, hence
three times the forward pass; pixels need no gradient, so the patch embedding counts twice.

Needed is what the recipe's mathematics asks for, however it is computed:

- recomputation is not counted, neither of layers nor inside of attention;
- of attention, the keys that are attended to, in expectation over the random blocks: not the
  padding of the last block;
- tokens that were dropped cost nothing after their drop, and the [CLS] scores that choose them
  nothing at all, as attention has them already;
- matching sees the anchors, a hard negative video and a hard negative text for each: 3N pairs
  (a single clip has no negative);
- the vocabulary is asked for at masked positions alone, in expectation;
- keys and values of a video are needed once for all its texts, until these choose tokens of it;
- what chooses, averages or merges tokens costs nothing;
- stochastic depth leaves nothing out: what it drops is drawn per sample.

Texts count with the length they are padded to, whole layers with all their tokens.

n: patch tokens; L: text tokens; D: width.
"""

from svitt_ego.config.schema import EdgeSparsity, Recipe
from svitt_ego.models.node_strategies import SCORED
from svitt_ego.models.token_drop import token_counts

PASSES = 3
"""Forward, gradient of one factor, gradient of the other."""
PASSES_TO_WEIGHTS = 2
"""Forward, gradient of the weight."""


def needed_flops(recipe: Recipe) -> float:
    """Of a training step of one micro-batch: forward and backward pass."""
    parts = forward_flops(recipe)
    patches = parts.pop("patch_embedding")
    return PASSES_TO_WEIGHTS * patches + PASSES * sum(parts.values())


def forward_flops(recipe: Recipe) -> dict[str, float]:
    """Of the forward pass of one micro-batch, by part."""
    model, objectives = recipe.model, recipe.objectives
    video, text = model.video, model.text
    anchors = recipe.training.micro_batch_size
    clips = clips_of(recipe)
    patches = recipe.data.frames * video.patches_per_frame
    counts = token_counts(video.node_sparsity, video.layers, patches)
    pairs = match_pairs(anchors, clips) if objectives.vtm.weight else 0
    masked_texts = anchors if objectives.mlm.weight else 0
    length = recipe.data.max_text_tokens
    text_layer = _layer(length, text.width, text.mlp_width) + 4 * length**2 * text.width
    heads = clips * 2 * (video.width + text.width) * model.projection_width
    heads += clips**2 * 2 * model.projection_width  # cosines
    heads += pairs * 2 * text.width * 2
    return {
        "patch_embedding": clips * patches * 2 * 3 * video.patch_size**2 * video.width,
        "video_projections": sum(
            clips * _layer(1 + count, video.width, video.mlp_width) for count in counts[:-1]
        ),
        "video_attention": sum(
            clips * 4 * attended_pairs(count, video.edge_sparsity) * video.width
            for count in counts[:-1]
        ),
        "text": text.layers * (clips + masked_texts) * text_layer,
        "fusion": _fusion(recipe, pairs + masked_texts, clips, counts[-1], text_layer),
        "heads": heads,
        "vocabulary": masked_positions(recipe)
        * (2 * text.width**2 + 2 * text.width * text.vocabulary_size),
    }


def clips_of(recipe: Recipe) -> int:
    """Clips of a micro-batch, scene-aware negatives included."""
    anchors = recipe.training.micro_batch_size
    return recipe.objectives.contrastive.clips_per_anchor * anchors


def match_pairs(anchors: int, clips: int) -> int:
    """Pairs of video-text matching, where no two clips count as a match of each other."""
    return 3 * anchors if clips > 1 else anchors


def masked_positions(recipe: Recipe) -> float:
    """Of the anchors' texts in expectation; [CLS] and [SEP] are never masked."""
    mlm = recipe.objectives.mlm
    if not mlm.weight:
        return 0.0
    words = recipe.data.max_text_tokens - 2
    return mlm.mask_probability * words * recipe.training.micro_batch_size


def attended_pairs(patches: int, edge: EdgeSparsity | None) -> float:
    """(query, key) pairs of one head, [CLS] included; of sparse attention in expectation.

    Args:
        patches: n.
        edge: None: dense, as it is too where too few blocks are left.
    """
    everything = (1 + patches) ** 2
    if edge is None:
        return everything
    size = edge.block_size
    sizes = [min(size, patches - start) for start in range(0, patches, size)]
    blocks = len(sizes)
    if blocks < edge.local_blocks + edge.random_blocks:
        return everything
    reach = (edge.local_blocks - 1) // 2
    free = blocks - edge.local_blocks
    pairs = 1.0 + 2 * patches  # [CLS] and every patch see each other, and [CLS] itself
    for own in range(blocks):
        near = sum(sizes[(own + step) % blocks] for step in range(-reach, reach + 1))
        drawn = edge.random_blocks / free * (patches - near) if free else 0.0
        pairs += sizes[own] * (near + drawn)
    return pairs


def _layer(tokens: int, width: int, mlp_width: int) -> int:
    """Projections of queries, keys, values and output, and the MLP."""
    return tokens * 2 * (4 * width**2 + 2 * width * mlp_width)


def _fusion(recipe: Recipe, texts: int, videos: int, patches: int, text_layer: int) -> float:
    """`texts` attend to `videos` of 1 + `patches` tokens each."""
    if not texts:
        return 0.0
    fusion, width = recipe.model.fusion, recipe.model.text.width
    length = recipe.data.max_text_tokens
    node = fusion.node_sparsity
    own_tokens = node is not None and node.strategy in SCORED  # each text keeps its own
    total = 0.0
    for seen in token_counts(node, fusion.layers, patches)[:-1]:
        keys = 1 + seen
        sources = texts if own_tokens and seen < patches else videos
        queries_and_output = length * 2 * 2 * width**2
        attention = 4 * length * keys * width
        keys_and_values = keys * 2 * 2 * recipe.model.video.width * width
        total += texts * (text_layer + queries_and_output + attention)
        total += sources * keys_and_values
    return total
