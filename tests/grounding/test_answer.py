"""From files to a scored prediction file."""

import pytest

from svitt_ego.config.grounding import Decoding
from svitt_ego.grounding.answer import answer
from svitt_ego.grounding.dataset import GroundingDataset
from svitt_ego.grounding.features import ClipFeatures, TextFeatures
from svitt_ego.grounding.prediction_file import read_predictions, write_predictions
from svitt_ego.grounding.queries import read_queries
from svitt_ego.grounding.score import score
from tests.grounding.nlq_files import (
    nlq_clip,
    nlq_query,
    write_features,
    write_nlq,
    write_text_features,
)


@pytest.mark.parametrize("architecture", ["ground_nlq", "vslnet"])
def test_from_files_to_a_scored_prediction_file(tmp_path, make_model, architecture):
    write_features(tmp_path / "features", ["a", "b"])
    queries = read_queries(
        write_nlq(
            tmp_path / "nlq_val.json",
            nlq_clip("a", nlq_query(1, 3), nlq_query(2, 2), nlq_query(6, 18)),
            nlq_clip("b", nlq_query(4, 6)),
        )
    )
    ids = [query.id for query in queries.usable]
    write_text_features(tmp_path / "texts.safetensors", ids)
    dataset = GroundingDataset(
        queries,
        ClipFeatures.open(tmp_path / "features"),
        TextFeatures(tmp_path / "texts.safetensors", 6),
    )
    model = make_model(architecture=architecture)
    answers = answer(model, dataset, Decoding(), progress=False)
    assert list(answers) == ids == ["note-a_0", "note-a_2", "note-b_0"]
    assert all(0 < len(windows) <= 5 for windows in answers.values())
    together = answer(model, dataset, Decoding(), batch_size=3, progress=False)
    for query_id in ids:  # a batch of several clips has the same answers
        for one, other in zip(answers[query_id], together[query_id], strict=True):
            assert one == pytest.approx(other, abs=1e-3)
    write_predictions(tmp_path / "predictions.json", queries.usable, answers)
    read = read_predictions(tmp_path / "predictions.json")
    assert score(queries.usable, read) == score(queries.usable, answers)
