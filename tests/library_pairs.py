"""What transformers makes of a query and a document, put together as FlagEmbedding does it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["library_logits"]

ROBERTA_SPECIALS = 4
"""Special tokens of a pair: two separators stand between its texts; else there is one."""


def library_logits(
    folder: Path, pairs: Sequence[tuple[str, str]], max_tokens: int
) -> NDArray[np.float64]:
    """Return the logit of each pair by itself, (pair,) float64.

    A query of up to three quarters of the tokens stands in front of what is left of the document.

    Source: BaseReranker.compute_score_single_gpu, FlagEmbedding 1.4.0.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    ).eval()
    is_roberta = tokenizer.num_special_tokens_to_add(pair=True) == ROBERTA_SPECIALS
    has_types = "token_type_ids" in inspect.signature(model.forward).parameters
    found = []
    for query, document in pairs:
        first, second = (
            tokenizer(text, add_special_tokens=False, truncation=True, max_length=limit).input_ids
            for text, limit in ((query, max_tokens * 3 // 4), (document, max_tokens))
        )
        start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
        head, between = [start, *first, end], [end] * is_roberta
        tail = [*between, *second[: max_tokens - len(head) - len(between) - 1], end]
        types = torch.tensor([[0] * len(head) + [1] * len(tail)])
        given = {"token_type_ids": types} if has_types and not is_roberta else {}
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*head, *tail]]), **given).logits
        found.append(float(logits[0, 0]))
    return np.array(found, np.float64)
