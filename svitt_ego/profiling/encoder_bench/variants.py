"""What takes part: two kinds of dense attention, token drop, two sparsities, each also recomputed.

All train on the same clips: no scene-aware negatives, so a batch is what enters the encoders.
"""

from svitt_ego.config.schema import EdgeSparsity, Recipe, Recompute
from svitt_ego.profiling.variants import variants_of, with_frames

RANDOM_BLOCKS = (3, 5)
"""K_r of the paper's two configurations."""
RECOMPUTED = "+recompute"


def bench_variants(recipe: Recipe, frames: int, batch: int) -> dict[str, Recipe]:
    """Name -> recipe, for `batch` clips of `frames` frames. K_l and G are the recipe's."""
    recipe = with_frames(_with_batch(recipe, batch), frames, frames)
    opponents = {v.name: v.recipe for v in variants_of(recipe) if v.name != "sparse"}
    stored = {name.replace("_drop", "+drop"): own for name, own in opponents.items()}
    edge = recipe.model.video.edge_sparsity or EdgeSparsity()
    for random_blocks in RANDOM_BLOCKS:
        chosen = edge.model_copy(update={"random_blocks": random_blocks})
        name = f"sparse_{edge.local_blocks}_{random_blocks}_{edge.block_size}"
        stored[name] = _with_edges(recipe, chosen)
    recomputed = {f"{name}{RECOMPUTED}": _recomputed(own) for name, own in stored.items()}
    return stored | recomputed


def batch_for(frames: int, batch: int, at_frames: int) -> int:
    """Clips of `frames` frames that hold about as many frames as `batch` of `at_frames`."""
    return max(1, batch * at_frames // frames)


def _with_batch(recipe: Recipe, batch: int) -> Recipe:
    contrastive = recipe.objectives.contrastive.model_copy(update={"scene_negatives": False})
    objectives = recipe.objectives.model_copy(update={"contrastive": contrastive})
    training = recipe.training.model_copy(
        update={"micro_batch_size": batch, "recompute": Recompute()}
    )
    return recipe.model_copy(update={"objectives": objectives, "training": training})


def _with_edges(recipe: Recipe, edge: EdgeSparsity) -> Recipe:
    video = recipe.model.video.model_copy(update={"edge_sparsity": edge})
    model = recipe.model.model_copy(update={"video": video})
    return recipe.model_copy(update={"model": model})


def _recomputed(recipe: Recipe) -> Recipe:
    training = recipe.training.model_copy(update={"recompute": Recompute(what="layers")})
    return recipe.model_copy(update={"training": training})
