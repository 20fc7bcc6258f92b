"""Speed of `rerank`, next to sentence-transformers' CrossEncoder.predict on the same pairs.

Usage: PYTHONPATH=. python benchmarks/rerank.py [--checkpoint DIR] [--data DIR] [--rounds N]

Both compute the same logits (checked here), in float32 on all cores, tokenisation included, in one
process, taking turns. Without --checkpoint the model is MiniLM-L6 with a head of random numbers,
whose speed is that of ms-marco-MiniLM-L-6. The pairs are queries with passages, of a folder with
queries.jsonl and corpus.jsonl; without --data, of sample texts.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_cross_encoders import write_real_cross_encoder
from vespa_colbert.checkpoint import ReadOptions
from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.export import ExportOptions
from vespa_colbert.export.cross_encoder import export_cross_encoder
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES
from vespa_colbert.index.collection import read_corpus, read_queries
from vespa_colbert.reranker import Reranker, open_scorer

TOLERANCE = 1e-4
"""Of a logit: both are float32 in batches of their own."""
BATCHES = (32, 8)
"""Sizes that CrossEncoder.predict is given: its default, and a smaller one."""

Pairs = list[tuple[str, str]]


def some_pairs(data: Path | None, count: int) -> Pairs:
    """Return queries with passages, drawn by a seed, so that lengths vary."""
    if data is None:
        queries, passages = list(SAMPLE_QUERIES), list(SAMPLE_PASSAGES)
    else:
        queries = [each.text for each in read_queries(data / "queries.jsonl")]
        passages = [each.text("text") for each in read_corpus(data / "corpus.jsonl")]
    drawn = np.random.default_rng(11).integers(0, (len(queries), len(passages)), (count, 2))
    return [(queries[query], passages[passage]) for query, passage in drawn]


def contenders(checkpoint: Path, scratch: Path) -> dict[str, Callable[[Pairs], NDArray[Any]]]:
    """Return name → what scores pairs."""
    import torch

    library = importlib.import_module("sentence_transformers")
    read = read_cross_encoder_checkpoint(checkpoint, ReadOptions(allow_pickle=True))
    model = export_cross_encoder(read, scratch / "model").path
    fused = scratch / "fused"
    export_cross_encoder(read, fused, ExportOptions(optimize=True))
    peer = library.CrossEncoder(
        str(checkpoint), device="cpu", max_length=read.max_tokens, local_files_only=True
    )

    def predicted(size: int) -> Callable[[Pairs], NDArray[Any]]:
        return lambda pairs: np.asarray(
            peer.predict(
                pairs, batch_size=size, activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        )

    own = {"rerank": model, "rerank, fused attention": fused}
    return {
        **{name: Reranker(open_scorer(path)).score for name, path in own.items()},
        **{f"CrossEncoder.predict, batch {size}": predicted(size) for size in BATCHES},
    }


def main() -> None:
    """Print tokens and pairs a second, and how often as many as the peer's default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=48)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        checkpoint = asked.checkpoint or write_real_cross_encoder(scratch / "checkpoint")
        measure(
            contenders(checkpoint, scratch),
            some_pairs(asked.data, asked.pairs),
            asked.rounds,
            checkpoint,
        )


def measure(
    running: dict[str, Callable[[Pairs], NDArray[Any]]], pairs: Pairs, rounds: int, checkpoint: Path
) -> None:
    """Print the table of one run."""
    counted = Reranker(open_scorer(checkpoint, options=ReadOptions(allow_pickle=True)))
    tokens = sum(len(each.ids) for each in counted.sequences(pairs))
    scores = {name: score(pairs) for name, score in running.items()}
    wanted = scores["rerank"]
    for name, found in scores.items():
        worst = float(np.abs(found - wanted).max())
        assert worst <= TOLERANCE, f"{name}: logits differ by {worst}"
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for _round in range(rounds):
        for name, score in running.items():
            started = time.perf_counter()
            score(pairs)
            seconds[name].append(time.perf_counter() - started)
    peer = f"CrossEncoder.predict, batch {BATCHES[0]}"
    print(f"{len(pairs)} pairs, {tokens} tokens, {rounds} rounds; medians of paired rounds")
    print(f"{'':<34}{'tokens/s':>10}{'pairs/s':>10}{'times the peer':>16}")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        ratio = statistics.median(b / a for a, b in zip(taken, seconds[peer], strict=True))
        print(f"{name:<34}{tokens / median:>10.0f}{len(pairs) / median:>10.1f}{ratio:>16.2f}")


if __name__ == "__main__":
    main()
