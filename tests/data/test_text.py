"""Tokenising narrations, and tokenizers that cannot be used."""

import pytest
import torch
from transformers import AutoTokenizer

from svitt_ego.config import ConfigError
from svitt_ego.data.text import clean_narration, encode_texts, load_tokenizer
from tests.data.ego_files import save_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_texts_are_padded_to_the_longest_and_cut(folder):
    tokenizer = load_tokenizer(str(folder), vocabulary_size=100)
    ids, mask = encode_texts(tokenizer, ["#C C picks", "does thing " * 20, "cuts"], max_tokens=12)
    assert ids.shape == mask.shape == (3, 12) and ids.dtype == mask.dtype == torch.int64
    assert mask.sum(dim=1).tolist() == [6, 12, 3]
    assert (ids[:, 0] == tokenizer.cls_token_id).all()
    last = ids.gather(1, mask.sum(dim=1, keepdim=True) - 1)
    assert (last == tokenizer.sep_token_id).all()
    assert (ids[mask == 0] == tokenizer.pad_token_id).all()
    assert encode_texts(tokenizer, ["cuts", "picks"], max_tokens=12)[0].shape == (2, 3)


def test_narrations_are_kept_as_they_are(folder):
    tokenizer = load_tokenizer(str(folder), vocabulary_size=100)
    ids, _ = encode_texts(tokenizer, ["#C C picks"], max_tokens=32)
    assert tokenizer.convert_ids_to_tokens(ids[0].tolist()) == (
        ["[CLS]", "#", "c", "c", "picks", "[SEP]"]
    )


def test_too_small_a_model_is_an_error(folder):
    with pytest.raises(ConfigError, match=r"has 83 tokens.*vocabulary_size is 82: set that to.*83"):
        load_tokenizer(str(folder), vocabulary_size=82)
    assert len(load_tokenizer(str(folder), vocabulary_size=83)) == 83


def test_missing_tokenizer_is_one_line_that_names_it(tmp_path):
    with pytest.raises(
        ConfigError, match=r"data\.tokenizer = .*nowhere.*cannot be loaded"
    ) as error:
        load_tokenizer(str(tmp_path / "nowhere" / "tokenizer"), vocabulary_size=100)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"cannot be loaded.*tokenizer\.json") as error:
        load_tokenizer(str(tmp_path), vocabulary_size=100)
    assert "\n" not in str(error.value)


def test_tokenizer_without_a_mask_token_is_an_error(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="has no mask_token"):
        load_tokenizer(str(tmp_path), vocabulary_size=100)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("#C C picks a bag", "picks a bag"),
        ("#c c Picks a  bag ", "Picks a bag"),
        ("#C picks the #unsure", "picks the something"),
        ("#O a man X opens the #Unsure box", "a man X opens the something box"),
        ("# unsure", "something"),
        ("#Cuts #C1", "#Cuts #C1"),
        ("#C C", "#C C"),
        ("", ""),
    ],
)
def test_clean_narrations_lose_the_marks(text, cleaned):
    assert clean_narration(text) == cleaned
