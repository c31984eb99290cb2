"""Attention to every patch, of a model that was trained with sparse edges."""

from svitt_ego.models import SViTTEgo

_ALL_EDGES = {"edge_sparsity": None, "dense_attention": "efficient"}


def with_all_edges(model: SViTTEgo) -> SViTTEgo:
    """The model itself where its attention is dense, or one of the same weights where every patch
    that is left sees all others that are, without storing their probabilities. In training it has
    seen every edge now and then, since patterns are drawn anew in each step; the one pattern of
    evaluation leaves most of them out."""
    video = model.recipe.video
    if video.edge_sparsity is None:
        return model
    recipe = model.recipe.model_copy(update={"video": video.model_copy(update=_ALL_EDGES)})
    dense = SViTTEgo(recipe)
    dense.load_state_dict(model.state_dict())
    return dense.train(model.training)
