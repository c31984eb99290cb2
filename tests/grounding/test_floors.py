"""What a score must beat: noise of the same shape, queries without content, windows by length."""

import pytest
import torch

from svitt_ego.grounding.features import ClipFeatures, TextFeatures
from svitt_ego.grounding.floors import centre_prior, write_blank_texts, write_random_features
from svitt_ego.grounding.queries import Query
from tests.grounding.nlq_files import write_features


def test_random_features_have_the_shape_of_the_others(tmp_path):
    given = write_features(tmp_path / "features", ["a", "b"])
    index = tmp_path / "features" / "index.json"
    index.write_text(index.read_text().replace("b.safetensors", "folder/b.safetensors"))
    random = ClipFeatures.open(write_random_features(tmp_path / "features", tmp_path / "noise", 3))
    source = ClipFeatures.open(tmp_path / "features")
    assert (random.grid, random.width, random.clips) == (source.grid, source.width, source.clips)
    noise = torch.stack([random.read("a"), random.read("b")])
    assert noise.shape == (2, *given["a"].shape) and not noise[0].equal(noise[1])
    torch.testing.assert_close(noise.norm(dim=-1), torch.ones(noise.shape[:-1]))
    assert abs(noise.mean()) < 0.05  # of 3000 draws
    again = ClipFeatures.open(write_random_features(tmp_path / "features", tmp_path / "same", 3))
    assert again.read("b").equal(noise[1])


def test_blank_texts_are_all_the_same(tmp_path):
    path = write_blank_texts(tmp_path / "new" / "texts.safetensors", ["q_0", "q_1"], 6)
    texts = TextFeatures(path, 6)
    assert texts.ids == {"q_0", "q_1"} and texts.read("q_0").equal(texts.read("q_1"))
    assert texts.read("q_0").shape == (1, 6) and not texts.read("q_0").any()


def test_centre_prior_is_the_median_length_around_the_middle():
    train = [
        Query("t", i, "c", "?", 50.0, (3.0, 3.0 + length)) for i, length in enumerate((1, 4, 9))
    ]
    short = Query("v", 0, "d", "?", 4.0, (0.0, 1.0))
    long = Query("v", 1, "e", "?", 100.0, (0.0, 1.0))
    answers = centre_prior([*train, Query("t", 9, "c", "?", 50.0, None)], [short, long])
    assert answers.keys() == {"v_0", "v_1"} and len(answers["v_1"]) == 5
    assert answers["v_1"][0] == pytest.approx((48.0, 52.0))
    lengths_s = [end_s - start_s for start_s, end_s in answers["v_1"]]
    assert lengths_s == pytest.approx([4.0, 2.5, 6.5, 1.6, 8.0])  # quantiles of 1, 4 and 9
    assert answers["v_0"][0] == pytest.approx((0.0, 4.0))
    assert all(start >= 0 and end <= 4.0 for start, end in answers["v_0"])
