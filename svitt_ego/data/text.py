"""Narrations to token ids. As in EgoVLP the text is kept as it is, with `#C C` and `#unsure`,
unless the recipe asks for clean narrations."""

import os
import re
from collections.abc import Sequence

from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from svitt_ego.config import ConfigError

_NEEDED_TOKENS = ("cls_token", "sep_token", "pad_token", "mask_token")

_PEOPLE = re.compile(r"#(?:c\s+c|c|o)\b", re.IGNORECASE)
_UNSURE = re.compile(r"#\s?unsure\b", re.IGNORECASE)


def clean_narration(text: str) -> str:
    """`#C C drops the #unsure` becomes `drops the something`.

    The marks of the camera wearer (`#C C`, `#C`) and of other people (`#O`) go, `#unsure`, which
    stands for what the annotator could not make out, becomes `something`, spaces become single
    ones. A narration of marks alone stays as it is.
    """
    cleaned = " ".join(_UNSURE.sub("something", _PEOPLE.sub(" ", text)).split())
    return cleaned or text


def load_tokenizer(name: str, vocabulary_size: int) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder or the Hugging Face hub, with BERT's special tokens.

    Args:
        vocabulary_size: rows of the model's word embedding.

    Raises:
        ConfigError: it cannot be loaded, lacks a special token, or has more tokens than the model.
    """
    # Its thread pool would be forked into the loader's workers, which already run side by side.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    key = f"data.tokenizer = {name!r}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"{key}: cannot be loaded ({reason}): give a folder that holds tokenizer.json or "
            "vocab.txt, or a hub name that is cached or reachable"
        ) from None
    missing = [token for token in _NEEDED_TOKENS if getattr(tokenizer, token) is None]
    if missing:
        raise ConfigError(f"{key}: has no {', '.join(missing)}: give a BERT-style tokenizer")
    if len(tokenizer) > vocabulary_size:
        raise ConfigError(
            f"{key}: has {len(tokenizer)} tokens, but model.text.vocabulary_size is "
            f"{vocabulary_size}: set that to at least {len(tokenizer)}"
        )
    return tokenizer


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int
) -> tuple[Tensor, Tensor]:
    """Token ids and mask (1: token, 0: padding), both (texts, longest) int64.

    [CLS] comes first and [SEP] last; longer texts are cut to `max_tokens` tokens in all.
    """
    encoded = tokenizer(
        list(texts),
        padding="longest",
        truncation=True,
        max_length=max_tokens,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    return encoded["input_ids"], encoded["attention_mask"]
