"""From files and overrides to a recipe. Validation itself is in test_mistakes.py."""

import pytest
import yaml
from pydantic import ValidationError

from svitt_ego.config import ConfigError, dump_recipe, load_recipe
from svitt_ego.config.load import RECIPES

SHIPPED = sorted(path.stem for path in RECIPES.glob("*.yaml"))


def test_the_recipes_of_the_product_are_there():
    assert {"demo", "paper_1_3_56", "paper_1_5_56", "paper_dense"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_loads_and_is_called_as_its_file(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe == load_recipe(str(RECIPES / f"{name}.yaml"))


def test_paper_recipes_are_the_papers():
    three, five, dense = map(load_recipe, ("paper_1_3_56", "paper_1_5_56", "paper_dense"))
    for recipe, random_blocks in ((three, 3), (five, 5)):
        edge = recipe.model.video.edge_sparsity
        assert (edge.local_blocks, edge.random_blocks, edge.block_size) == (1, random_blocks, 56)
        node, fusion_node = recipe.model.video.node_sparsity, recipe.model.fusion.node_sparsity
        assert (node.layers, node.keep_rate) == ((3, 6, 9), 0.7)
        assert (fusion_node.layers, fusion_node.keep_rate) == ((1,), 0.1)
    assert dense.model.video.edge_sparsity is None
    assert dense.model.video.node_sparsity is None
    assert dense.model.fusion.node_sparsity is None
    for recipe in (three, five, dense):
        video, text, fusion = recipe.model.video, recipe.model.text, recipe.model.fusion
        assert (video.layers, video.width, video.heads, video.mlp_width) == (12, 768, 12, 3072)
        assert (text.layers, fusion.layers, recipe.model.projection_width) == (9, 3, 256)
        assert (recipe.data.frames, video.image_size, video.patch_size) == (4, 224, 16)
        assert recipe.optimisation.learning_rate == 3e-5
        assert recipe.training.micro_batch_size == 8
        assert recipe.objectives.mlm.mask_probability == 0.5


def test_the_demo_is_really_sparse_and_keeps_left_and_right():
    recipe = load_recipe("demo")
    video = recipe.model.video
    edge = video.edge_sparsity
    tokens = recipe.data.frames * video.patches_per_frame
    blocks = -(-tokens // edge.block_size)
    assert blocks >= 2 * (edge.local_blocks + edge.random_blocks)
    assert video.node_sparsity.keep_rate < 1
    assert not recipe.data.augmentation.horizontal_flip


@pytest.mark.parametrize("name", SHIPPED)
def test_dump_and_load_give_the_same_recipe(name, tmp_path):
    recipe = load_recipe(name, ["seed=7", "optimisation.epsilon=2.5e-9"])
    path = tmp_path / "resolved.yaml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe
    assert load_recipe(str(path)).name == name  # not the file's


def test_what_is_not_given_is_default(load):
    recipe = load()
    assert recipe.name == "mine"
    assert recipe.training.epochs == 10
    assert recipe.model.video.node_sparsity.layers == (3, 6, 9)


@pytest.mark.parametrize("where", ["file", "override"])
def test_a_section_given_in_part_keeps_the_defaults_of_its_place(load, where):
    """Both node sparsities are of one class, with different defaults."""
    if where == "file":
        recipe = load(
            "model:\n"
            "  video: {node_sparsity: {keep_rate: 0.5}}\n"
            "  fusion: {node_sparsity: {keep_rate: 0.2}}\n"
        )
    else:
        recipe = load(
            overrides=[
                "model.video.node_sparsity.keep_rate=0.5",
                "model.fusion.node_sparsity.keep_rate=0.2",
            ]
        )
    video, fusion = recipe.model.video.node_sparsity, recipe.model.fusion.node_sparsity
    assert (video.layers, video.keep_rate) == ((3, 6, 9), 0.5)
    assert (fusion.layers, fusion.keep_rate) == ((1,), 0.2)


@pytest.mark.parametrize(
    ("written", "value"),
    [("3e-5", 3e-5), ("1E3", 1e3), (".5e-2", 0.005), ("2.e-4", 2e-4), ("+1.5e+2", 150.0), ("2", 2)],
)
def test_floats_are_read_as_people_write_them(load, written, value):
    assert load(f"optimisation: {{learning_rate: {written}}}").optimisation.learning_rate == value
    override = f"optimisation.learning_rate={written}"
    assert load(overrides=[override]).optimisation.learning_rate == value


def test_overrides_are_applied_in_order_over_the_file(load):
    recipe = load(
        "training: {epochs: 3, micro_batch_size: 4}",
        ["training.epochs=5", "training.epochs=6", "seed=9", "data.tokenizer=a=b"],
    )
    assert (recipe.training.epochs, recipe.training.micro_batch_size) == (6, 4)
    assert (recipe.seed, recipe.data.tokenizer) == (9, "a=b")


def test_overrides_switch_sections_off_and_on_again(load):
    off = ["model.video.edge_sparsity=null"]
    assert load(overrides=off).model.video.edge_sparsity is None
    on = [*off, "model.video.edge_sparsity.block_size=28"]
    assert load(overrides=on).model.video.edge_sparsity.block_size == 28
    whole = ["data.augmentation={crop_scale: [0.2, 0.3]}"]
    assert load(overrides=whole).data.augmentation.crop_scale == (0.2, 0.3)


def test_an_override_does_not_leak_through_a_yaml_alias(load):
    recipe = load(
        "model:\n"
        "  video: {node_sparsity: &sparsity {layers: [1], keep_rate: 0.9}}\n"
        "  fusion: {node_sparsity: *sparsity}\n",
        ["model.video.node_sparsity.keep_rate=0.5"],
    )
    assert recipe.model.video.node_sparsity.keep_rate == 0.5
    assert recipe.model.fusion.node_sparsity.keep_rate == 0.9


def test_yaml_merge_keys_work(load):
    recipe = load(
        "training: &common {micro_batch_size: 3}\nevaluation: {<<: *common, egomcq: q.json}"
    )
    assert (recipe.evaluation.micro_batch_size, recipe.evaluation.egomcq) == (3, "q.json")


def test_a_chain_of_bases(write, tmp_path):
    write("name: first\nseed: 1\ntraining: {epochs: 3, micro_batch_size: 4}", "first.yaml")
    (tmp_path / "second.yaml").write_text("base: first.yaml\ntraining: {epochs: 5}\n")
    folder = tmp_path / "deeper"
    folder.mkdir()
    third = folder / "third.yaml"
    third.write_text("base: ../second.yaml\nseed: 2\nmodel: {video: {edge_sparsity: null}}\n")
    recipe = load_recipe(str(third))
    assert recipe.name == "third"  # a name is not inherited
    assert (recipe.seed, recipe.training.epochs, recipe.training.micro_batch_size) == (2, 5, 4)
    assert recipe.model.video.edge_sparsity is None


@pytest.mark.parametrize("base", ["mine.yaml", "other.yaml"])
def test_a_circle_of_bases_is_refused(write, tmp_path, base):
    (tmp_path / "other.yaml").write_text("base: mine.yaml\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml.*cannot be its own base"):
        load_recipe(write(f"base: {base}"))


def test_a_base_that_is_not_there_is_named(write):
    with pytest.raises(ConfigError, match=r"mine\.yaml: base = 'no\.yaml': .*does not exist"):
        load_recipe(write("base: no.yaml"))


@pytest.mark.parametrize("change", [("seed", 1), ("model", None), ("unknown", 1)])
def test_a_recipe_cannot_change(load, change):
    with pytest.raises(ValidationError):
        setattr(load(), *change)


def test_no_section_can_change(load):
    recipe = load()
    for section, key in (
        (recipe.training, "epochs"),
        (recipe.model.video, "layers"),
        (recipe.model.video.node_sparsity, "keep_rate"),
        (recipe.data.augmentation, "crop_scale"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, 1)
    assert isinstance(recipe.model.video.node_sparsity.layers, tuple)


def test_yaml_cannot_run_code(load, tmp_path):
    target = tmp_path / "made"
    with pytest.raises(ConfigError, match="python/object"):
        load(f"seed: !!python/object/apply:os.mkdir ['{target}']")
    assert not target.exists()


def test_the_dump_is_plain_yaml():
    assert yaml.safe_load(dump_recipe(load_recipe("paper_dense")))["model"]["text"]["layers"] == 9
