"""Cross-encoders of other architectures, and one of real size: exported, scored, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.library_pairs import library_logits
from tests.tiny_cross_encoders import write_cross_encoder_checkpoint, write_real_cross_encoder
from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.export import ExportOptions
from vespa_colbert.export.cross_encoder import export_cross_encoder
from vespa_colbert.index.collection import read_corpus, read_queries
from vespa_colbert.reranker import Reranker, open_scorer

pytestmark = pytest.mark.slow

TINY, REAL = 1e-5, 1e-5
"""Two layers and six in float32, whose sums ONNX Runtime and torch order otherwise."""
BATCH = 1e-6
PAIRS = (
    ("what is a rose?", "A rose is a rose is a rose."),
    ("dog", "The quick brown fox jumps over the lazy dog, and the dog does not care at all."),
    ("", "Vespa ranks documents"),
    (
        "zebras",
        "Pack my box with five dozen liquor jugs; how vexingly quick daft zebras jump! " * 3,
    ),
)


@pytest.mark.parametrize(
    "family",
    ["roberta", "electra", "distilbert", "camembert", "mpnet", "deberta-v2", "modernbert"],
)
def test_other_architectures_give_the_logits_of_the_library(tmp_path: Path, family: str) -> None:
    source = write_cross_encoder_checkpoint(tmp_path / "source", family)
    read = read_cross_encoder_checkpoint(source)
    folder = export_cross_encoder(read, tmp_path / "model").path

    logits = Reranker(open_scorer(folder)).score(PAIRS)

    assert np.abs(logits - library_logits(source, PAIRS, read.max_tokens)).max() <= TINY
    assert np.ptp(logits) > 1e-3


def real_pairs(collections: Path, count: int) -> list[tuple[str, str]]:
    queries = read_queries(collections / "scifact" / "queries.jsonl")
    documents = read_corpus(collections / "scifact" / "corpus.jsonl")
    picked = np.random.default_rng(7).integers(0, (len(queries), len(documents)), (count, 2))
    pairs = [(queries[q].text, documents[d].text("text")) for q, d in picked]
    # Beside abstracts of some 300 tokens: short ones, and some beyond every limit.
    return [
        (query, text[:80] if place % 4 == 0 else text * (1 + 3 * (place % 7 == 0)))
        for place, (query, text) in enumerate(pairs)
    ]


def test_a_model_of_real_size_gives_the_logits_of_the_library_in_any_batch(
    tmp_path: Path, collections: Path
) -> None:
    source = write_real_cross_encoder(tmp_path / "source")
    read = read_cross_encoder_checkpoint(source)
    scorer = open_scorer(export_cross_encoder(read, tmp_path / "model").path)
    pairs = real_pairs(collections, 320)

    reranker = Reranker(scorer)
    logits = reranker.score(pairs)
    wanted = library_logits(source, pairs, read.max_tokens)

    assert read.max_tokens == 512
    assert sum(each.is_cut for each in reranker.sequences(pairs)) > 20
    assert np.abs(logits - wanted).max() <= REAL
    assert np.ptp(wanted) > 0.1
    few = pairs[:64]
    for seed, size in enumerate((1, 3, 8, 64)):
        order = np.random.default_rng(seed).permutation(len(few))
        batched = Reranker(scorer, batch_size=size, budget=8192)
        found = batched.score([few[place] for place in order])
        assert np.abs(found - logits[: len(few)][order]).max() <= BATCH


def test_a_fused_graph_gives_the_same_logits(tmp_path: Path) -> None:
    source = write_cross_encoder_checkpoint(tmp_path / "source", "bert")
    read = read_cross_encoder_checkpoint(source)
    made = export_cross_encoder(read, tmp_path / "model", ExportOptions(optimize=True))

    logits = Reranker(open_scorer(made.path)).score(PAIRS)

    assert made.graph["fused"] == {"MultiHeadAttention": 2}
    assert np.abs(logits - library_logits(source, PAIRS, read.max_tokens)).max() <= TINY
