"""The two dense opponents of a sparse recipe, and what lies between them.

Edge sparsity saves stored activations only against attention that stores its probabilities, so a
comparison with one kind of dense attention alone would mislead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from svitt_ego.config.load import recipe_from_tree
from svitt_ego.config.schema import Recipe


@dataclass(frozen=True)
class RecipeVariant:
    """`dense`, `dense_efficient`, `dense_efficient_drop` or `sparse`, derived from a recipe."""

    name: str
    title: str
    description: str
    recipe: Recipe


def variants_of(recipe: Recipe) -> list[RecipeVariant]:
    """The recipe last, its dense opponents before it; steps that change nothing are left out."""
    video, fusion = recipe.model.video, recipe.model.fusion
    edge, node = video.edge_sparsity, video.node_sparsity
    variants = [
        RecipeVariant(
            "dense",
            "dense",
            "every token attends to every token, attention probabilities stored for the backward "
            "pass, as BEiT and SViTT do it; every token kept",
            _changed(recipe, "materialised", keep_edge=False, keep_node=False),
        ),
        RecipeVariant(
            "dense_efficient",
            "dense, efficient",
            "the same values from exact attention that does not store probabilities; every token "
            "kept",
            _changed(recipe, "efficient", keep_edge=False, keep_node=False),
        ),
    ]
    drops = node is not None or fusion.node_sparsity is not None
    rates = [sparsity.keep_rate for sparsity in (node, fusion.node_sparsity) if sparsity]
    rate_text = " and ".join(f"{rate:g}" for rate in rates)
    if drops:
        variants.append(
            RecipeVariant(
                "dense_efficient_drop",
                "dense, efficient + token drop",
                f"efficient dense attention; tokens dropped at keep rate {rate_text}",
                _changed(recipe, "efficient", keep_edge=False, keep_node=True),
            )
        )
    if edge is not None:
        sizes = f"({edge.local_blocks}, {edge.random_blocks}, {edge.block_size})"
        dropping = f"tokens dropped at keep rate {rate_text}" if drops else "every token kept"
        variants.append(
            RecipeVariant(
                "sparse",
                f"sparse {sizes}" + (" + token drop" if drops else ""),
                f"block-sparse attention {sizes} = (local blocks, random blocks, block size); "
                f"{dropping}",
                recipe,
            )
        )
    return variants


def comparison_variants(
    recipes: Sequence[Recipe],
    frames: Sequence[int] | None = None,
    micro_batches: Sequence[int] | None = None,
    policies: Sequence[str] | None = None,
) -> list[RecipeVariant]:
    """The first recipe with its dense opponents, then the other recipes, for all frames,
    micro-batches and recomputation policies; what is not given is the recipes' own.

    Names and titles tell them apart: what the first of a list has goes without saying.

    Raises:
        ConfigError: a recipe's model cannot take so many or so few frames.
    """
    found: list[RecipeVariant] = []
    for count in dict.fromkeys(frames or [recipes[0].data.frames]):
        for number, recipe in enumerate(recipes):
            training = recipe.training
            table_frames = max(*(frames or [0]), count, recipe.model.video.max_frames)
            for batch in dict.fromkeys(micro_batches or [training.micro_batch_size]):
                for policy in dict.fromkeys(policies or [training.recompute.what]):
                    said = [recipe.name] if number else []
                    said += [f"{batch} anchors"] if batch != (micro_batches or [batch])[0] else []
                    said += [f"{policy} recomputed"] if policy != "none" else []
                    changes = {
                        "micro_batch_size": batch,
                        "recompute": training.recompute.model_copy(update={"what": policy}),
                    }
                    changed = recipe.model_copy(
                        update={"training": training.model_copy(update=changes)}
                    )
                    own = variants_of(with_frames(changed, count, table_frames))
                    found += [_qualified(v, said) for v in (own[-1:] if number else own)]
    return found


def _qualified(variant: RecipeVariant, said: Sequence[str]) -> RecipeVariant:
    if not said:
        return variant
    name = "+".join([variant.name, *(word.replace(" ", "_") for word in said)])
    title = ", ".join([variant.title, *said])
    return replace(variant, name=name, title=title)


def with_frames(recipe: Recipe, frames: int, table_frames: int) -> Recipe:
    """The recipe for clips of another length, its position table made for `table_frames`.

    Raises:
        ConfigError: the recipe's model cannot take so many or so few frames.
    """
    tree = recipe.model_dump()
    tree["model"]["video"]["max_frames"] = table_frames
    tree["data"]["frames"] = frames
    return recipe_from_tree(tree, {}, f"{recipe.name} with {frames} frames")


def _changed(recipe: Recipe, attention: str, keep_edge: bool, keep_node: bool) -> Recipe:
    tree = recipe.model_dump()
    video, fusion = tree["model"]["video"], tree["model"]["fusion"]
    video["dense_attention"] = attention
    if not keep_edge:
        video["edge_sparsity"] = None
    if not keep_node:
        video["node_sparsity"] = fusion["node_sparsity"] = None
    return recipe_from_tree(tree, {}, f"{recipe.name} with dense attention")
