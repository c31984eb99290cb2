"""EgoNCE and InfoNCE: which narration belongs to which clip.

Shapes: M clips and M texts, where clip i and text i belong together, of all ranks; P the width of
the projected features. Source: EgoVLP (Lin et al., NeurIPS 2022), equations 2 and 3.
"""

import torch
from torch import Tensor


def positives(verb_tags: Tensor, noun_tags: Tensor) -> Tensor:
    """Which clips count as matches of which texts.

    Args:
        verb_tags: (M, verb classes) bool.
        noun_tags: (M, noun classes) bool.

    Returns:
        (M, M) bool, symmetric: i itself and every j that shares a verb and a noun with i.
    """
    itself = torch.eye(len(verb_tags), dtype=torch.bool, device=verb_tags.device)
    return itself | (_share_a_tag(verb_tags) & _share_a_tag(noun_tags))


def egonce(
    text: Tensor, video: Tensor, temperature: Tensor | float, positive_mask: Tensor
) -> Tensor:
    """EgoNCE: -mean_i log(probability that i gives to its positives), text to video plus video to
    text.

    EgoVLP's code takes log(sum(softmax)), which underflows to log(0) in half precision when no
    positive is near; here logsumexp over positives minus logsumexp over all, in fp32 even under
    autocast (fp64 for fp64 features).

    Args:
        text, video: (M, P), L2-normalised.
        temperature: scalar that divides the cosine similarities.
        positive_mask: (M, M) bool with a true diagonal, rows are texts; see `positives`.

    Returns:
        Scalar: the sum of both directions.
    """
    assert text.shape == video.shape, (text.shape, video.shape)
    assert positive_mask.shape == (len(text), len(text)), (positive_mask.shape, len(text))
    precision = torch.promote_types(text.dtype, torch.float32)
    with torch.autocast(text.device.type, enabled=False):
        scores = text.to(precision) @ video.to(precision).T / temperature
        of_positives = scores.masked_fill(~positive_mask, -torch.inf)
        text_to_video = of_positives.logsumexp(dim=1) - scores.logsumexp(dim=1)
        video_to_text = of_positives.logsumexp(dim=0) - scores.logsumexp(dim=0)
    return -text_to_video.mean() - video_to_text.mean()


def infonce(text: Tensor, video: Tensor, temperature: Tensor | float) -> Tensor:
    """InfoNCE: `egonce` where each pair is its own only positive (EgoVLP's baseline).

    Args:
        text, video: (M, P), L2-normalised.
        temperature: scalar that divides the cosine similarities.

    Returns:
        Scalar: the sum of both directions.
    """
    itself = torch.eye(len(text), dtype=torch.bool, device=text.device)
    return egonce(text, video, temperature, itself)


def _share_a_tag(tags: Tensor) -> Tensor:
    """(M, classes) bool -> (M, M) bool."""
    counts = tags.float()
    return counts @ counts.T > 0
