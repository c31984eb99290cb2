import pytest
import torch
from safetensors.torch import load_file, save_file

from svitt_ego.config.base import ConfigError
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import check_weights, load_weights, save_weights


def test_saved_weights_come_back_exactly(tmp_path, model_recipe, video, text):
    saved, loaded = SViTTEgo(model_recipe).eval(), SViTTEgo(model_recipe).eval()
    path = tmp_path / "model.safetensors"
    save_weights(saved.state_dict(), path)
    load_weights(loaded, path)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    tokens, expected = (model.encode_video(video).tokens for model in (loaded, saved))
    assert torch.equal(tokens, expected)
    assert load_file(path).keys() == saved.state_dict().keys()


def test_what_does_not_fit_is_named(tmp_path, model_recipe, make_model):
    model = SViTTEgo(model_recipe)
    path = tmp_path / "model.safetensors"
    save_weights(SViTTEgo(make_model(width=64)).state_dict(), path)
    with pytest.raises(ConfigError, match=r"of another shape: .*fusion.*\(24, 64\) instead of"):
        check_weights(model, path)
    state = model.state_dict()
    del state["match_head.bias"]
    save_file(state | {"more": torch.ones(1)}, path)
    with pytest.raises(ConfigError, match="1 missing: match_head.bias; 1 unknown: more"):
        load_weights(model, path)
    path.write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="not a readable safetensors file"):
        load_weights(model, path)
    with pytest.raises(ConfigError, match="not a readable safetensors file"):
        load_weights(model, tmp_path / "none.safetensors")
