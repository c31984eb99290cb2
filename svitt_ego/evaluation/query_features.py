"""Features of queries, token by token, for grounding: one safetensors file a file of queries."""

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from svitt_ego.data.text import encode_texts
from svitt_ego.evaluation.evaluated_run import EvaluatedRun
from svitt_ego.evaluation.feature_files import write_features
from svitt_ego.grounding.features import query_file


def write_query_features(
    queries: dict[str, str], source: str | Path, run: EvaluatedRun, folder: Path
) -> Path:
    """`queries_{name of the source}.safetensors`, a tensor for each query id.

    Raises:
        ConfigError: it cannot be written.
    """
    path = query_file(folder, source)
    tensors = {name: tokens.numpy() for name, tokens in query_features(queries, run).items()}
    write_features(path, tensors, {"weights": run.weights_sha256})
    return path


@torch.inference_mode()
def query_features(
    queries: dict[str, str], run: EvaluatedRun, progress: bool = True
) -> dict[str, Tensor]:
    """By query id: (tokens, projection_width) float32, [CLS] first and [SEP] last, without padding.

    Each token is projected as [CLS] is, so that the first row's product with a window's feature is
    the cosine of query and window.
    """
    device = next(run.model.parameters()).device
    size, max_tokens = run.recipe.evaluation.micro_batch_size, run.recipe.data.max_text_tokens
    names, features = list(queries), {}
    with tqdm(total=len(queries), desc="queries", unit="query", disable=not progress) as bar:
        for start in range(0, len(queries), size):
            batch = names[start : start + size]
            ids, mask = encode_texts(run.tokenizer, [queries[name] for name in batch], max_tokens)
            tokens = run.model.encode_text(ids.to(device), mask.to(device)).tokens
            tokens = run.model.project_text(tokens).float().cpu()
            for name, of_query, length in zip(batch, tokens, mask.sum(dim=1), strict=True):
                features[name] = of_query[: int(length)].contiguous()
            bar.update(len(batch))
    return features
