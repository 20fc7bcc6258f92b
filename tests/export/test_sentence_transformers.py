"""The exported rows against sentence-transformers' own reading of the same PyLate checkpoint."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from tests.required import import_or_skip
from tests.tiny_checkpoint import IDS, edit_json
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
]

ROUNDING = 2e-6
"""float32 rounding through two layers and a projection, in components of unit vectors."""

TEXTS = ("rose", "a rose is a rose", "x y z " * 30, "rose. is, (a) rose!")


@pytest.fixture(scope="module")
def library() -> Any:
    return import_or_skip("sentence_transformers.multi_vector_encoder")


def rows(folder: ModelFolder, ids: list[int], attended: int) -> Any:
    session = onnxruntime.InferenceSession(str(folder.model_path))
    attention = (np.arange(len(ids)) < attended).astype(np.int64)[None, :]
    feeds = {"input_ids": np.array([ids], dtype=np.int64), "attention_mask": attention}
    return session.run(["contextual"], feeds)[0][0]


def content(folder: ModelFolder, text: str, limit: int) -> list[int]:
    tokenizer = Tokenizer.from_file(str(folder.tokenizer_path))
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids[: limit - 3]


PAIRS = (
    *TEXTS,
    *("", " ", "?!", "...", "a, b; (c) d!", "日本。 rose!", "🦊 is.", "ROSE's", "\u200b", "x" * 60),
    *("rose, " * 30, "C++ is (not) C#", "é e\u0301", "!!! ??? ... ---", "\t rose \n"),
)
SCORE_ROUNDING = 2e-5
"""float32 rounding of rows, 2e-6 each, over the ten rows of a query."""


@pytest.mark.java
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_query_expansion": False},
        {"attend_to_expansion_tokens": True},
        {"skiplist_words": ["rose", "."]},
        {"query_prefix": "", "document_prefix": ""},
    ],
    ids=["classic", "no expansion", "attended", "other skip words", "no markers"],
)
def test_exact_scores_through_vespa_are_those_of_the_multi_vector_encoder(
    library: Any, java: VespaJava, copy: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source = copy()
    edit_json(source / "config_sentence_transformers.json", **settings)
    model = library.MultiVectorEncoder(str(source), device="cpu")
    queries, documents = model.encode_query(list(PAIRS)), model.encode_document(list(PAIRS))
    wanted = np.asarray(model.similarity(queries, documents))
    folder = export_checkpoint(
        read_checkpoint(source), tmp_path / "model", ExportOptions(packaging="exact")
    )
    assert wanted.size >= 200
    files, dim = EmbedderFiles.of(folder), folder.embedder.dim
    left, right = (
        java.embed_many(files, PAIRS, target, TensorType.parse(f"tensor<float>({t}{{}},x[{dim}])"))
        for target, t in (("query(qt)", "qt"), ("doc.colbert", "dt"))
    )
    got = [
        [(q.tensor.values @ d.tensor.values.T).max(axis=1).sum(dtype=np.float64) for d in right]
        for q in left
    ]
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)


@pytest.mark.parametrize("expansion", [True, False])
def test_rows_are_those_of_the_multi_vector_encoder(
    library: Any, copy: Any, tmp_path: Path, *, expansion: bool
) -> None:
    source = copy()
    edit_json(source / "config_sentence_transformers.json", do_query_expansion=expansion)
    model = library.MultiVectorEncoder(str(source), device="cpu")
    folder = export_checkpoint(read_checkpoint(source), tmp_path / "model")
    spec = folder.embedder
    skipped = {IDS[c] for c in string.punctuation}
    for text in TEXTS:
        words = content(folder, text, spec.max_document_tokens)
        ids = [spec.start_id, spec.document_marker_id, *words, spec.end_id]
        kept = [place for place, token in enumerate(ids) if token not in skipped]
        wanted = np.asarray(model.encode_document(text, convert_to_numpy=True))
        np.testing.assert_allclose(rows(folder, ids, len(ids))[kept], wanted, atol=ROUNDING)

        words = content(folder, text, spec.max_query_tokens)
        ids = [spec.start_id, spec.query_marker_id, *words, spec.end_id]
        attended = len(ids)
        if spec.expansion_emitted:
            ids += [spec.mask_id] * (spec.max_query_tokens - attended)
        wanted = np.asarray(model.encode_query(text, convert_to_numpy=True))
        np.testing.assert_allclose(rows(folder, ids, attended), wanted, atol=ROUNDING)
