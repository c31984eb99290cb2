"""A trained model as a folder, and what is refused."""

import json
import pickle

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from svitt_ego.config import ConfigError
from svitt_ego.models import SViTTEgo
from svitt_ego.models.folder import save_folder
from svitt_ego.models.pretrained import load_pretrained


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.fixture
def folder(model_recipe, tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[UNK]": 0, "cup": 1}, unk_token="[UNK]"))
    )
    torch.manual_seed(5)
    save_folder(SViTTEgo(model_recipe), tokenizer, {"frames": 3}, tmp_path / "exported")
    return tmp_path / "exported"


def test_a_run_can_start_from_it(folder, model_recipe):
    recipe = model_recipe.model_copy(update={"pretrained": str(folder)})
    model = SViTTEgo(recipe)
    load_pretrained(model, recipe)
    exported = SViTTEgo.from_pretrained(folder).state_dict()
    assert all(torch.equal(exported[name], tensor) for name, tensor in model.state_dict().items())
    wider = recipe.model_copy(update={"projection_width": 2 * recipe.projection_width})
    with pytest.raises(ConfigError, match="of another architecture .* video_projection"):
        load_pretrained(SViTTEgo(wider), wider)


def test_two_lines_give_the_model_back(folder, model_recipe, video):
    torch.manual_seed(5)
    original = SViTTEgo(model_recipe).eval()
    model = SViTTEgo.from_pretrained(folder)
    features = model.project_video(model.encode_video(video).pooled)
    assert not model.training and features.dtype == torch.float32
    assert features.equal(original.project_video(original.encode_video(video).pooled))
    assert json.loads((folder / "config.json").read_text())["frames"] == 3
    assert (folder / "tokenizer" / "tokenizer.json").is_file()


def test_pickles_are_named_and_never_loaded(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Exploding()))
    with pytest.raises(ConfigError, match="missing; refused pytorch_model.bin") as error:
        SViTTEgo.from_pretrained(folder)
    assert "\n" not in str(error.value)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    with pytest.raises(ConfigError, match="not a readable safetensors file"):
        SViTTEgo.from_pretrained(folder)


def test_what_does_not_fit_is_one_line(folder, tmp_path):
    with pytest.raises(ConfigError, match="config.json: missing"):
        SViTTEgo.from_pretrained(tmp_path / "nowhere")
    config = folder / "config.json"
    tree = json.loads(config.read_text())
    config.write_text(json.dumps(tree | {"model": tree["model"] | {"projection_width": 8}}))
    with pytest.raises(ConfigError, match="of another architecture"):
        SViTTEgo.from_pretrained(folder)
    config.write_text(json.dumps(tree | {"model": {"colour": "red"}}))
    with pytest.raises(ConfigError, match="config.json: not a model's recipe"):
        SViTTEgo.from_pretrained(folder)
    config.write_text("{")
    with pytest.raises(ConfigError, match="config.json: damaged"):
        SViTTEgo.from_pretrained(folder)


def test_a_full_folder_is_left_alone(folder, model_recipe):
    with pytest.raises(ConfigError, match="is not empty"):
        save_folder(SViTTEgo(model_recipe), None, {}, folder)
