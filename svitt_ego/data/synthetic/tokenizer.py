"""A small WordPiece tokenizer trained on the narrations, with BERT's special tokens."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from svitt_ego.data.synthetic.vocabulary import COLOURS, NOUNS, VERBS

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_VOCABULARY_SIZE = 1000
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_MAX_TOKENS = 512
_MIN_FREQUENCY = 2


def train_tokenizer(texts: Iterable[str], folder: Path) -> None:
    """Train on `texts` and save to `folder`, to be loaded with `AutoTokenizer.from_pretrained`.

    Lower-cases. All words of the dataset's vocabulary become tokens, whether `texts` has them or
    not, and other words of Latin letters and digits are split rather than unknown.
    """
    tokenizer = _bert_like(models.WordPiece(vocab=_train_vocabulary(texts), unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    first, last = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", first), ("[SEP]", last)],
    )
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": _MAX_TOKENS,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


def _bert_like(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _train_vocabulary(texts: Iterable[str]) -> dict[str, int]:
    """Token -> id, the special tokens first.

    The trainer numbers the "##" letters in an order that changes from run to run, and settles ties
    between merges by these numbers; given as special tokens they keep theirs. The vocabulary then
    goes to a tokenizer to which they are ordinary tokens.
    """
    trained = _bert_like(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(
        vocab_size=_VOCABULARY_SIZE,
        min_frequency=_MIN_FREQUENCY,
        special_tokens=[*SPECIAL_TOKENS, *(f"##{letter}" for letter in _LETTERS)],
        initial_alphabet=list(_LETTERS + "#?!.,'-"),
        show_progress=False,
    )
    trained.train_from_iterator([*texts, *_dataset_words() * _MIN_FREQUENCY], trainer)
    return trained.get_vocab()


def _dataset_words() -> list[str]:
    phrases = [phrase.format("the") for verb in VERBS for phrase in verb.forms.values()]
    names = [name for noun in NOUNS for name in noun.synonyms]
    return [*phrases, *names, *COLOURS, "#C C with the left right hand", "#unsure"]
