"""Attention to every patch, of a model that was trained with sparse edges."""

from svitt_ego.models import SViTTEgo


def with_all_edges(model: SViTTEgo) -> SViTTEgo:
    """The model itself where its attention is dense, or one of the same weights where every patch
    sees all others. Sparse edges save what training stores for gradients; a model in evaluation
    stores nothing, and has seen every edge now and then: patterns are drawn anew in each step."""
    video = model.recipe.video
    if video.edge_sparsity is None:
        return model
    recipe = model.recipe.model_copy(
        update={"video": video.model_copy(update={"edge_sparsity": None})}
    )
    dense = SViTTEgo(recipe)
    dense.load_state_dict(model.state_dict())
    return dense.train(model.training)
