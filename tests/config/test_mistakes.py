"""Every mistake is one line that names the file, the key, the value and what is allowed."""

import re

import pytest

from svitt_ego.config import ConfigError, load_recipe

# override -> what the line says after "--set: "
MISTAKES = {
    # unknown keys
    "modle.x=1": "modle = {'x': 1}: unknown key; known here: name, seed, optimisation",
    "model.vido=3": "model.vido = 3: unknown key; known here: video, text, fusion",
    "model.video.edge_sparsity.blocks=3": (
        "model.video.edge_sparsity.blocks = 3: unknown key; known here: local_blocks"
    ),
    # wrong types; nothing is coerced
    "training.epochs=1.0": "training.epochs = 1.0: input should be a valid integer",
    "training.epochs=true": "training.epochs = True: input should be a valid integer",
    "training.epochs='3'": "training.epochs = '3': input should be a valid integer",
    "training.epochs=": "training.epochs = None: input should be a valid integer",
    "optimisation.learning_rate=fast": "learning_rate = 'fast': input should be a valid number",
    "optimisation.learning_rate=true": "learning_rate = True: input should be a valid number",
    "data.augmentation.horizontal_flip=1": "horizontal_flip = 1: input should be a valid boolean",
    "data.tokenizer=5": "data.tokenizer = 5: input should be a valid string",
    "model.video.node_sparsity.layers=3": "node_sparsity.layers = 3: input should be a valid tuple",
    "model.video.node_sparsity.layers=[3.0]": "layers.0 = 3.0: input should be a valid integer",
    "model=3": "model = 3: must be a section; known here: video, text, fusion",
    "model.video.edge_sparsity=off": (
        "model.video.edge_sparsity = False: must be a section; known here: local_blocks"
    ),
    "training.epochs.x=3": "training.epochs = {'x': 3}: input should be a valid integer",
    # choices
    "model.video.pooling=max": "model.video.pooling = 'max': input should be 'cls' or 'mean'",
    "data.videos.layout=flat": "layout = 'flat': input should be 'index', 'start_second'",
    "model.video.node_sparsity.strategy=best": (
        "strategy = 'best': input should be 'cls_attention', 'random', 'fuse' or 'merge'"
    ),
    # ranges
    "model.video.edge_sparsity.block_size=0": "block_size = 0: input should be greater than 0",
    "model.video.edge_sparsity.block_size=300": (
        "model.video.edge_sparsity.block_size = 300: leaves 3 blocks, but a block attends to 4"
    ),
    "model.video.edge_sparsity.random_blocks=-1": "random_blocks = -1: input should be greater",
    "model.video.node_sparsity.keep_rate=0": "keep_rate = 0: input should be greater than 0",
    "model.video.node_sparsity.keep_rate=1.01": "keep_rate = 1.01: input should be less than or eq",
    "model.fusion.node_sparsity.keep_rate=-0.1": "keep_rate = -0.1: input should be greater than 0",
    "data.epoch_share=0": "data.epoch_share = 0: input should be greater than 0",
    "data.frames=0": "data.frames = 0: input should be greater than 0",
    "model.video.drop_path=1": "model.video.drop_path = 1: input should be less than 1",
    "objectives.mlm.mask_probability=1": "mask_probability = 1: input should be less than 1",
    "optimisation.learning_rate=0": "learning_rate = 0: input should be greater than 0",
    "optimisation.learning_rate=.inf": "learning_rate = inf: input should be a finite number",
    "optimisation.weight_decay=.nan": "weight_decay = nan: input should be a finite number",
    "optimisation.betas=[0.9, 1.0]": "optimisation.betas.1 = 1.0: input should be less than 1",
    "optimisation.betas=[0.9]": "optimisation.betas.1: must be given",
    "data.max_text_tokens=2": "max_text_tokens = 2: input should be greater than or equal to 3",
    "seed=-1": "seed = -1: input should be greater than or equal to 0",
    "seed=4294967296": "seed = 4294967296: input should be less than 4294967296",
    "name=''": "name = '': string should have at least 1 character",
    # combinations
    "model.video.heads=5": (
        "model.video.heads = 5: must divide width 768: 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96"
    ),
    "model.text.heads=7": "model.text.heads = 7: must divide width 768: 1, 2, 3",
    "model.video.patch_size=15": "patch_size = 15: must divide image_size 224: 1, 2, 4, 7, 8, 14",
    "model.video.edge_sparsity.local_blocks=2": "local_blocks = 2: must be odd",
    "model.video.node_sparsity.layers=[3, 12]": (
        "layers = [3, 12]: layers are counted from 0 and must be below 12"
    ),
    "model.fusion.node_sparsity.layers=[3]": (
        "model.fusion.node_sparsity.layers = [3]: layers are counted from 0 and must be below 3"
    ),
    "model.video.node_sparsity.layers=[6, 3]": "layers = [6, 3]: must rise, without repeats",
    "model.video.node_sparsity.layers=[3, 3]": "layers = [3, 3]: must rise, without repeats",
    "data.frames=5": "data.frames = 5: at most model.video.max_frames = 4",
    "data.max_text_tokens=513": "max_text_tokens = 513: at most model.text.max_positions = 512",
    "data.augmentation.crop_scale=[0.9, 0.5]": "scale = [0.9, 0.5]: must be [smallest, largest]",
    "model.temperature.initial=0.9": "temperature.initial = 0.9: must lie in [0.001, 0.5]",
    "optimisation.warmup_epochs=11": "warmup_epochs = 11.0: at most training.epochs = 10",
}


def message(*arguments):
    with pytest.raises(ConfigError) as caught:
        load_recipe(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_in_an_override(write, override):
    line = message(write(), [override])
    assert line.startswith("--set: ")
    assert MISTAKES[override] in line
    assert "more)" not in line  # one mistake, one complaint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {video: {heads: 5}}", "model.video.heads = 5: must divide width 768"),
        ("modle: 1", "modle = 1: unknown key"),
        ("training: {epochs: ten}", "training.epochs = 'ten': input should be a valid integer"),
        ("training:", "training = None: must be a section; known here: epochs"),
        ("5: x", "5 = 5: keys should be strings"),
        (
            "model: {video: {absolute_positions: true, pretrained: beit}}",
            "model.video.absolute_positions = True: must be false: the pretrained BEiT has",
        ),
    ],
)
def test_a_mistake_in_a_file_names_the_file(write, text, said):
    path = write(text)
    assert message(path).startswith(f"{path}: {said}")


def test_the_file_named_is_the_one_that_holds_the_mistake(write, tmp_path):
    base = write("training: {epochs: 0}", "base.yaml")
    derived = tmp_path / "derived.yaml"
    derived.write_text("base: base.yaml\ntraining: {micro_batch_size: 2}\n")
    assert message(str(derived)).startswith(f"{base}: training.epochs = 0")
    derived.write_text("base: base.yaml\ntraining: {epochs: -3}\n")
    assert message(str(derived)).startswith(f"{derived}: training.epochs = -3")
    assert message(str(derived), ["training.epochs=-4"]).startswith("--set: training.epochs = -4")


def test_what_must_be_given_is_named(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("data: {metadata: clips.csv}")
    assert message(str(path)) == f"{path}: data.videos: must be given"


def test_further_mistakes_are_counted(write):
    line = message(write("seed: -1\ntraining: {epochs: 0, micro_batch_size: 0}"))
    assert "seed = -1" in line and line.endswith("(and 2 more)")


def test_no_objective_at_all(write):
    off = [f"objectives.{name}.weight=0" for name in ("contrastive", "vtm", "mlm")]
    assert "one of the objectives needs a weight > 0" in message(write(), off)
    for k in range(3):
        load_recipe(write(), off[:k] + off[k + 1 :])


@pytest.mark.parametrize("override", ["epochs", "=3", "training..epochs=3", ".=3"])
def test_overrides_have_a_form(write, override):
    assert message(write(), [override]) == f"--set {override}: write it as section.key=value"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2", "line 3: key 'seed' stands twice"),
        ("training:\n  epochs: 1\n  'epochs': 2", "line 4: key 'epochs' stands twice"),
        ("training: {epochs: 1", "line 2: .*expected ',' or '}'"),
        ("\tseed: 1", "line 2: .*cannot start any token"),
        ("name: \x01", "unacceptable character #x0001"),
        ("[1, 2]: 3", "line 2: .*unhashable key"),
        ("---\nseed: 1", "line 2: expected a single document"),
        ("seed: *nowhere", "line 2: .*undefined alias 'nowhere'"),
    ],
)
def test_broken_yaml_names_the_file_and_the_line(write, text, said):
    path = write(text)
    assert re.match(re.escape(path) + ": not valid YAML: " + said, message(path))


def test_broken_yaml_in_an_override(write):
    assert message(write(), ["training.epochs=["]).startswith("--set training.epochs: not valid")


@pytest.mark.parametrize(("content", "kind"), [(b"", "NoneType"), (b"[1]", "list"), (b"x", "str")])
def test_a_recipe_that_is_no_mapping(tmp_path, content, kind):
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    assert message(str(path)) == f"{path}: a recipe is a mapping of sections, not {kind}"


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert message(str(path)).startswith(f"{path}: cannot be read: ")


@pytest.mark.parametrize("name", ["no_such_recipe", "", "launch"])
def test_a_recipe_that_is_not_there(name):
    line = message(name)
    assert line.startswith(f"recipe {name!r}: no such file")
    assert "demo" in line and "paper_1_3_56" in line
