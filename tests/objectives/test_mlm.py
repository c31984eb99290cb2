import pytest
import torch

from svitt_ego.objectives import mask_tokens

PAD, UNKNOWN, CLS, SEP, MASK = range(5)
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)
VOCABULARY = 50


def make_texts(count, length=12, seed=0):
    """[CLS] words [SEP] padding, of random lengths."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCABULARY, (count, length), generator=generator)
    words = torch.randint(1, length - 1, (count, 1), generator=generator)
    place = torch.arange(length)
    ids[:, 0] = CLS
    ids = ids.masked_fill(place == words + 1, SEP).masked_fill(place > words + 1, PAD)
    return ids, (place <= words + 1).long()


def mask(ids, attention_mask, probability=0.5, seed=0):
    seeds = [(seed, text) for text in range(len(ids))]
    return mask_tokens(ids, attention_mask, SPECIAL, MASK, VOCABULARY, probability, seeds)


def test_only_words_are_chosen_and_labels_are_what_stood_there():
    ids, attention_mask = make_texts(200)
    before = ids.clone()
    masked = mask(ids, attention_mask, probability=0.999999)
    assert torch.equal(ids, before)
    is_word = ids >= len(SPECIAL)
    assert torch.equal(masked.positions, is_word.flatten().nonzero().flatten())
    assert torch.equal(masked.labels, ids[is_word])
    assert torch.equal(masked.ids[~is_word], ids[~is_word])


def test_padding_is_never_chosen_whatever_its_id():
    ids, attention_mask = make_texts(50)
    ids = ids.masked_fill(attention_mask == 0, 17)  # a word's id
    masked = mask(ids, attention_mask, probability=0.999999)
    assert attention_mask.flatten()[masked.positions].all()


def test_places_that_are_not_chosen_do_not_change():
    ids, attention_mask = make_texts(100)
    masked = mask(ids, attention_mask)
    rest = torch.ones(ids.numel(), dtype=torch.bool)
    rest[masked.positions] = False
    assert torch.equal(masked.ids.flatten()[rest], ids.flatten()[rest])


@pytest.mark.parametrize("probability", [0.15, 0.5])
def test_shares_of_chosen_masked_random_and_kept(probability):
    """About 20 000 words, so 0.02 is more than five standard deviations of every share."""
    ids, attention_mask = make_texts(3000, length=14)
    masked = mask(ids, attention_mask, probability, seed=9)
    words = (ids >= len(SPECIAL)).sum().item()
    chosen = len(masked.positions)
    now = masked.ids.flatten()[masked.positions]
    is_mask, kept = now == MASK, now == masked.labels
    assert chosen / words == pytest.approx(probability, abs=0.02)
    # A random entry is [MASK], or the word itself, once in VOCABULARY times.
    assert is_mask.float().mean().item() == pytest.approx(0.8 + 0.1 / VOCABULARY, abs=0.03)
    assert kept.float().mean().item() == pytest.approx(0.1 + 0.1 / VOCABULARY, abs=0.03)
    replaced = now[~is_mask & ~kept]
    assert replaced.unique().numel() > 0.9 * VOCABULARY


def test_the_seed_decides_and_nothing_else():
    ids, attention_mask = make_texts(20)
    torch.manual_seed(1)
    first = mask(ids, attention_mask, seed=3)
    torch.manual_seed(2)
    again = mask(ids, attention_mask, seed=3)
    other = mask(ids, attention_mask, seed=4)
    assert torch.equal(first.ids, again.ids) and torch.equal(first.positions, again.positions)
    assert not torch.equal(first.ids, other.ids)


def test_a_text_without_words_has_nothing_to_mask():
    ids = torch.tensor([[CLS, SEP]])
    masked = mask(ids, torch.ones_like(ids))
    assert masked.positions.shape == masked.labels.shape == (0,) and torch.equal(masked.ids, ids)


def test_a_text_is_masked_alike_in_every_batch_and_padding():
    ids, attention_mask = make_texts(6)
    seeds = [(7, text) for text in range(6)]
    settings = (SPECIAL, MASK, VOCABULARY, 0.5)
    whole = mask_tokens(ids, attention_mask, *settings, seeds)
    order = torch.tensor([4, 1])
    padded = torch.nn.functional.pad(ids[order], (0, 5), value=PAD)
    mask = torch.nn.functional.pad(attention_mask[order], (0, 5))
    part = mask_tokens(padded, mask, *settings, [seeds[4], seeds[1]])
    assert torch.equal(part.ids[:, :-5], whole.ids[order])
    assert (part.ids[:, -5:] == PAD).all()
