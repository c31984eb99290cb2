import csv
import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from svitt_ego.data.synthetic.narrations import egoclip_rows
from svitt_ego.data.synthetic.script import write_script
from svitt_ego.data.synthetic.tokenizer import train_tokenizer
from svitt_ego.data.synthetic.vocabulary import NOUNS, VERBS, taxonomy


@pytest.fixture(scope="module")
def tokenizer(tiny_dataset: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(str(tiny_dataset / "tokenizer"))


def many_texts() -> list[str]:
    return [
        str(row["clip_text"])
        for index in range(40)
        for row in egoclip_rows(write_script(77, index, 60.0, 10), 77, index, allow_unsure=True)
    ]


def test_special_tokens(tokenizer: PreTrainedTokenizerBase):
    assert tokenizer.pad_token_id == 0
    assert tokenizer.convert_tokens_to_ids(["[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [1, 2, 3, 4]
    assert (tokenizer.cls_token, tokenizer.sep_token) == ("[CLS]", "[SEP]")
    assert (tokenizer.mask_token, tokenizer.unk_token) == ("[MASK]", "[UNK]")
    ids = tokenizer("#C C opens the box")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
    batch = tokenizer(["#C C opens the box", "#C C"], padding=True)
    assert batch["input_ids"][1][-1] == 0 and batch["attention_mask"][1][-1] == 0


def test_narrations_round_trip_without_unknown_tokens(
    tiny_dataset: Path, tokenizer: PreTrainedTokenizerBase
):
    with open(tiny_dataset / "egoclip.csv", newline="") as file:
        texts = [row["clip_text"] for row in csv.DictReader(file, delimiter="\t")]
    questions = json.loads((tiny_dataset / "egomcq.json").read_text())
    texts += [question["query"]["clip_text"] for question in questions.values()]
    # The vocabulary is closed: other seeds bring no new words either.
    texts += many_texts()
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= 20
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        assert decoded.replace(" ", "") == text.lower().replace(" ", "")


def test_words_of_the_vocabulary_are_whole_tokens(tokenizer: PreTrainedTokenizerBase):
    for word in ("picks", "anticlockwise", "sprinkles", "teapot", "purple", "unsure", "rag"):
        assert tokenizer.tokenize(word) == [word]
    assert "[UNK]" not in tokenizer.tokenize("C quickly juggles 17 zebras")


def test_training_is_deterministic(tmp_path: Path):
    texts = many_texts()
    saved = set()
    for number in range(4):
        train_tokenizer(texts, tmp_path / str(number))
        saved.add((tmp_path / str(number) / "tokenizer.json").read_bytes())
    assert len(saved) == 1


def test_narrations_vary_and_keep_their_classes():
    texts = many_texts()
    assert 0 < sum("#unsure" in text for text in texts) < 0.03 * len(texts)
    assert any("left hand" in text for text in texts)
    assert any("with the knife" in text or "with the blade" in text for text in texts)
    for noun in NOUNS:
        for name in noun.synonyms:
            assert any(f" {name}" in text for text in texts), name
    for verb in VERBS:
        for phrase in verb.forms.values():
            assert any(phrase.split(" {}")[0] in text for text in texts), phrase


def test_synonyms_belong_to_one_class():
    for classes in taxonomy().values():
        names = [name for entry in classes for name in entry["synonyms"]]
        assert len(names) == len(set(names))
        assert [entry["id"] for entry in classes] == list(range(len(classes)))
        assert all(entry["synonyms"][0] == entry["name"] for entry in classes)
