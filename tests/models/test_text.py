"""Text encoder and masked-token head against BERT of transformers, on a checkpoint it saved.

Tolerance: float32, 1e-5 on values and gradients, relative to the largest where that exceeds 1.
"""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from svitt_ego.models import SViTTEgo
from svitt_ego.models.pretrained.bert import load_bert

_LAYER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "mlp_in": "intermediate.dense",
    "mlp_out": "output.dense",
    "norm": "output.LayerNorm",
}
_EMBEDDING = {
    "word": "word_embeddings",
    "position": "position_embeddings",
    "token_type": "token_type_embeddings",
    "norm": "LayerNorm",
}


def assert_same(ours, theirs, name=""):
    torch.testing.assert_close(
        ours,
        theirs,
        atol=1e-5 * max(theirs.abs().max().item(), 1),
        rtol=0,
        msg=lambda text: f"{name}: {text}",
    )


@pytest.fixture
def both(tmp_path, model_recipe):
    """Ours and theirs, of the same random weights, far from their usual size."""
    text = model_recipe.text
    theirs = BertForMaskedLM(
        BertConfig(
            hidden_size=text.width,
            num_hidden_layers=text.layers + model_recipe.fusion.layers,
            num_attention_heads=text.heads,
            intermediate_size=text.mlp_width,
            vocab_size=text.vocabulary_size,
            max_position_embeddings=text.max_positions,
        )
    ).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    ours = SViTTEgo(model_recipe).eval()
    load_bert(ours, str(tmp_path))
    return ours, theirs


def padded_text():
    ids = torch.randint(1, 60, (4, 11))  # theirs gives [PAD], 0, no gradient
    mask = torch.ones_like(ids)
    mask[1, 7:] = mask[2, 1:] = mask[3, 10:] = 0
    return ids, mask


def test_tokens_equal_berts(both):
    ours, theirs = both
    ids, mask = padded_text()
    layers = len(ours.text.layers)
    hidden = theirs.bert(ids, mask, output_hidden_states=True).hidden_states[layers]
    output = ours.encode_text(ids, mask)
    assert_same(output.tokens, hidden)
    assert torch.equal(output.pooled, output.tokens[:, 0])

    weights = torch.randn_like(hidden) * mask[..., None]
    (output.tokens * weights).sum().backward()
    (hidden * weights).sum().backward()
    our_parameters = dict(ours.text.named_parameters())
    their_parameters = dict(theirs.bert.named_parameters())
    names = {f"embedding.{new}": f"embeddings.{old}" for new, old in _EMBEDDING.items()}
    for layer in range(layers):
        names |= {f"layers.{layer}.{n}": f"encoder.layer.{layer}.{o}" for n, o in _LAYER.items()}
    checked = 0
    for new, old in names.items():
        for leaf in ("weight", "bias"):
            if f"{old}.{leaf}" in their_parameters:
                theirs_gradient = their_parameters[f"{old}.{leaf}"].grad
                assert_same(our_parameters[f"{new}.{leaf}"].grad, theirs_gradient, new)
                checked += 1
    assert checked == len(our_parameters)


def test_padding_is_not_seen(both):
    ours, _ = both
    ids, mask = padded_text()
    other = torch.where(mask.bool(), ids, torch.randint_like(ids, 60))
    seen = mask.bool()
    assert_same(
        ours.encode_text(ids, mask).tokens[seen], ours.encode_text(other, mask).tokens[seen]
    )


def test_masked_token_head_equals_berts(both):
    ours, theirs = both
    hidden = torch.randn(6, 24)
    ours_in, theirs_in = (hidden.clone().requires_grad_() for _ in range(2))
    logits, expected = ours.mlm_logits(ours_in), theirs.cls.predictions(theirs_in)
    assert_same(logits, expected)
    weights = torch.randn_like(expected)
    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_same(ours_in.grad, theirs_in.grad)
    head = theirs.cls.predictions
    assert_same(ours.mlm_head.transform.weight.grad, head.transform.dense.weight.grad)
    assert_same(ours.mlm_head.norm.bias.grad, head.transform.LayerNorm.bias.grad)
    assert_same(ours.mlm_head.bias.grad, head.bias.grad)
    # tied: the decoder's gradient arrives at the word embedding
    embedding = theirs.bert.embeddings.word_embeddings.weight
    assert_same(ours.text.embedding.word.weight.grad, embedding.grad)
