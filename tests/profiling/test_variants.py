import pytest
import torch

from svitt_ego.config import ConfigError, Recipe
from svitt_ego.profiling.compare import Variant, compare
from svitt_ego.profiling.variants import variants_of, with_frames
from svitt_ego.training.rehearsal import random_batch, rehearse

CPU = torch.device("cpu")


def recipe(edge: bool = True, node: bool = True, negatives: bool = True) -> Recipe:
    small = {"width": 32, "heads": 2, "mlp_width": 64}
    return Recipe.model_validate(
        {
            "name": "tiny",
            "model": {
                "video": {
                    **small,
                    "layers": 3,
                    "image_size": 64,
                    "patch_size": 8,
                    "max_frames": 2,
                    "edge_sparsity": {"block_size": 8} if edge else None,
                    "node_sparsity": {"layers": [1], "keep_rate": 0.7} if node else None,
                },
                "text": {**small, "layers": 1, "vocabulary_size": 64, "dropout": 0.0},
                "fusion": {
                    "layers": 2,
                    "node_sparsity": {"layers": [0], "keep_rate": 0.5} if node else None,
                },
                "projection_width": 16,
            },
            "objectives": {"contrastive": {"scene_negatives": negatives}},
            "data": {
                "metadata": "unread.csv",
                "videos": {"root": "unread"},
                "frames": 2,
                "max_text_tokens": 6,
            },
            "training": {"micro_batch_size": 3},
        }
    )


@pytest.mark.parametrize(
    ("edge", "node", "names"),
    [
        (True, True, ["dense", "dense_efficient", "dense_efficient_drop", "sparse"]),
        (True, False, ["dense", "dense_efficient", "sparse"]),
        (False, True, ["dense", "dense_efficient", "dense_efficient_drop"]),
        (False, False, ["dense", "dense_efficient"]),
    ],
)
def test_variants_differ_in_what_their_names_say(edge: bool, node: bool, names: list[str]):
    original = recipe(edge, node)
    variants = {variant.name: variant.recipe for variant in variants_of(original)}
    assert list(variants) == names
    for name, variant in variants.items():
        video, fusion = variant.model.video, variant.model.fusion
        assert video.dense_attention == ("materialised" if name == "dense" else "efficient")
        assert (video.edge_sparsity is not None) == (name == "sparse")
        dropping = name == "dense_efficient_drop" or (name == "sparse" and node)
        assert (video.node_sparsity is not None) == (fusion.node_sparsity is not None) == dropping
        assert (variant.data, variant.model.text) == (original.data, original.model.text)
    assert variants.get("sparse", original) == original


def test_other_numbers_of_frames_share_a_position_table():
    longer = with_frames(recipe(), 5, table_frames=8)
    assert (longer.data.frames, longer.model.video.max_frames) == (5, 8)


def test_frames_that_do_not_fit_are_one_line():
    with pytest.raises(ConfigError, match=r"^tiny with 5 frames: data\.frames = 5: at most[^\n]*$"):
        with_frames(recipe(), 5, table_frames=4)


@pytest.mark.parametrize("negatives", [True, False])
def test_random_batch_has_the_recipes_shapes(negatives: bool):
    batch = random_batch(recipe(negatives=negatives), seed=3)
    clips = 6 if negatives else 3
    assert batch.anchors == 3
    assert batch.video.shape == (clips, 2, 3, 64, 64) and batch.video.dtype == torch.uint8
    assert batch.text_ids.shape == batch.text_mask.shape == (clips, 6)
    assert batch.text_ids.max() < 64
    assert torch.equal(batch.video, random_batch(recipe(negatives=negatives), seed=3).video)
    assert not torch.equal(batch.video, random_batch(recipe(negatives=negatives), seed=4).video)


def test_the_models_own_variants():
    variants = [
        Variant(v.name, v.title, v.description, 2, lambda v=v: rehearse(v.recipe, CPU))
        for v in variants_of(recipe())
    ]
    result = {v["name"]: v for v in compare(variants, steps=1, about={})["variants"]}
    losses = {name: variant["loss_first"] for name, variant in result.items()}
    assert losses["dense_efficient"] == pytest.approx(losses["dense"], rel=1e-5)
    activations = {
        name: variant["peak_bytes_by_category"]["activations"] for name, variant in result.items()
    }
    # Stored probabilities: (1 + 2 * 64)^2 for 2 heads, 3 layers and 6 clips, in 4 bytes.
    probabilities_bytes = 129**2 * 2 * 3 * 6 * 4
    assert activations["dense"] - activations["dense_efficient"] >= probabilities_bytes
    assert activations["dense_efficient_drop"] < activations["dense_efficient"]
    for variant in result.values():
        assert variant["parameters"] == result["dense"]["parameters"]
        # Block patterns and the like, made by numpy.
        assert variant["peak_bytes_by_category"].get("other", 0) < 0.005 * variant["peak_bytes"]
