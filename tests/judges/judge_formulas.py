"""What colbert-ai and FlagEmbedding compute, written out from their definitions.

Neither runs with the transformers of today, so their arithmetic stands here. Every fact is taken
from a folder's own files, not from what this project reads in them. All is float64.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

from tests.judges.judge_scores import Rows

__all__ = ["FlagEmbeddingFormula", "StanfordFormula"]


class StanfordFormula:
    """QueryTokenizer.tensorize, DocTokenizer.tensorize and ColBERT.query and doc.

    Source: colbert-ai 0.2.22. jina-colbert-v2 is such a model with attend_to_mask_tokens and
    markers of its own (JinaColbert, fastembed 0.7).
    """

    def __init__(self, folder: Path) -> None:
        self.metadata = json.loads((folder / "artifact.metadata").read_text())
        self.tokenizer = _tokenizer(folder)
        self.encoder = _encoder(folder)
        self.linear = load_file(folder / "model.safetensors")["linear.weight"].double()
        self.mask_id = self.tokenizer.token_to_id(_role(folder, "mask_token"))
        symbols = string.punctuation if self.metadata.get("mask_punctuation", True) else ""
        firsts = [self.tokenizer.encode(each, add_special_tokens=False).ids[0] for each in symbols]
        self.skipped = torch.tensor(firsts, dtype=torch.int64)

    def queries(self, texts: Sequence[str]) -> list[Rows]:
        """Return each query's rows, as many as query_maxlen."""
        length, attended = self.metadata["query_maxlen"], self.metadata["attend_to_mask_tokens"]
        return [self._query(text, length, int(attended)) for text in texts]

    def documents(self, texts: Sequence[str]) -> list[Rows]:
        """Return each document's rows without those of punctuation."""
        marker, length = self.metadata["doc_token_id"], self.metadata["doc_maxlen"]
        return [self._document(self._ids(text, marker, length)) for text in texts]

    def _query(self, text: str, length: int, attended: int) -> Rows:
        ids = self._ids(text, self.metadata["query_token_id"], length)
        filled = ids + [self.mask_id] * (length - len(ids))
        return np.asarray(self._rows(filled, [1] * len(ids) + [attended] * (length - len(ids))))

    def _document(self, ids: list[int]) -> Rows:
        rows = self._rows(ids, [1] * len(ids))
        return np.asarray(rows[~torch.isin(torch.tensor(ids), self.skipped)])

    def _ids(self, text: str, marker: str, length: int) -> list[int]:
        self.tokenizer.enable_truncation(length - 1)
        start, *rest = self.tokenizer.encode(text).ids
        return [start, self.tokenizer.token_to_id(marker), *rest]

    def _rows(self, ids: list[int], attention: list[int]) -> Any:
        with torch.no_grad():
            hidden = self.encoder(torch.tensor([ids]), torch.tensor([attention]))[0]
            return torch.nn.functional.normalize(hidden @ self.linear.T, dim=2)[0]


class FlagEmbeddingFormula:
    """M3Embedder._colbert_embedding and what M3Embedder.encode keeps of it, for both roles.

    Source: EncoderOnlyEmbedderM3ModelForInference.forward, EncoderOnlyEmbedderM3Model._colbert
    _embedding and M3Embedder.encode_single_device, FlagEmbedding 1.4.0.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        self.tokenizer, self.encoder = _tokenizer(folder), _encoder(folder)
        self.tokenizer.enable_truncation(max_length)
        pad = _role(folder, "pad_token")
        self.tokenizer.enable_padding(pad_id=self.tokenizer.token_to_id(pad), pad_token=pad)
        head = torch.load(folder / "colbert_linear.pt", weights_only=True)
        self.head = {name: tensor.double() for name, tensor in head.items()}

    def rows(self, texts: Sequence[str]) -> list[Rows]:
        """Return each text's rows; all texts are one padded batch."""
        batch = self.tokenizer.encode_batch(list(texts))
        attention = torch.tensor([each.attention_mask for each in batch])
        with torch.no_grad():
            hidden = self.encoder(torch.tensor([each.ids for each in batch]), attention)[0]
            vectors = hidden[:, 1:] @ self.head["weight"].T + self.head["bias"]
            vectors = vectors * attention[:, 1:, None]
            vectors = torch.nn.functional.normalize(vectors, dim=-1).numpy()
        counts = attention.sum(dim=1).tolist()
        return [each[: count - 1] for each, count in zip(vectors, counts, strict=True)]


def _tokenizer(folder: Path) -> Any:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


def _encoder(folder: Path) -> Any:
    """Return the encoder in float64; a head that lies beside its tensors is left alone."""
    model, report = transformers.AutoModel.from_pretrained(
        folder, add_pooling_layer=False, output_loading_info=True
    )
    assert not report["missing_keys"]
    return model.double().eval()


def _role(folder: Path, role: str) -> str:
    return str(json.loads((folder / "tokenizer_config.json").read_text())[role])
