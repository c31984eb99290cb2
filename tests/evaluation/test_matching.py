"""Pairs scored beside their clips, held against scoring each pair alone."""

import pytest
import torch

from svitt_ego.data.text import encode_texts, load_tokenizer
from svitt_ego.evaluation import matching
from svitt_ego.evaluation.matching import MatchingEmbedder
from svitt_ego.models import SViTTEgo
from tests.data.ego_files import save_tokenizer


@pytest.mark.parametrize("pairs_at_once", [2, 128])
def test_each_pair_as_if_it_were_alone(recipe, tmp_path, monkeypatch, pairs_at_once):
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", pairs_at_once)
    torch.manual_seed(3)
    model = SViTTEgo(recipe.model)
    tokenizer = load_tokenizer(str(save_tokenizer(tmp_path)), vocabulary_size=100)
    texts = ["cuts", "picks thing 5 and 7", "does a thing"]
    texts_of_clip = {0: [1], 1: [0, 2, 1], 2: [], 4: [2]}
    video = torch.randint(0, 256, (5, 4, 3, 48, 48), dtype=torch.uint8)
    embedder = MatchingEmbedder(model, tokenizer, 24, texts, texts_of_clip)
    features = torch.cat([embedder(video[:3], [0, 1, 2]), embedder(video[3:], [3, 4])])

    assert embedder.probabilities.keys() == {(1, 0), (0, 1), (2, 1), (1, 1), (2, 4)}
    with torch.no_grad():
        for (text, clip), probability in embedder.probabilities.items():
            encoded = model.encode_video(video[clip : clip + 1])
            ids, mask = encode_texts(tokenizer, [texts[text]], 24)
            fused = model.fuse(model.encode_text(ids, mask).tokens, mask, encoded.tokens)
            alone = model.match_logits(fused).softmax(dim=1)[0, 1]
            assert probability == pytest.approx(float(alone), abs=1e-4)
        pooled = torch.cat([model.encode_video(clip[None]).pooled for clip in video])
        assert torch.allclose(features, model.project_video(pooled), atol=1e-5)
    assert max(embedder.probabilities.values()) - min(embedder.probabilities.values()) > 0.01
