"""Texts to vectors, tokens a second: here, and by the torch paths of the libraries.

MiniLM-L6 with the weights of a package: as a dense model (mean, 256 tokens), and as a
late-interaction model (an untrained projection to 128) cut at 300 and at 512 tokens, as exported by
default and with --optimize, which is float32 too. The peers are sentence-transformers and PyLate,
as far as they can be imported, with their default batches of 32, in float32. Contenders take turns;
ratios are of times of the same round, medians.

Usage: PYTHONPATH=. python benchmarks/embed.py [CORPUS] [--texts N] [--rounds N]

CORPUS is a file of JSON lines with title and text; without one, texts are drawn words.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vespa_colbert.checkpoint import (
    ProjectionLayer,
    read_checkpoint,
    read_dense_checkpoint,
    write_pylate_checkpoint,
)
from vespa_colbert.demo.checkpoint import SETTINGS, demo_origin, encoder_folder, untrained_head
from vespa_colbert.embedder import LocalDenseEmbedder, LocalEmbedder
from vespa_colbert.embedder.batches import embed_documents
from vespa_colbert.errors import MissingExtraError, SpecError
from vespa_colbert.export import ExportOptions, export_checkpoint, export_dense
from vespa_colbert.processors import processors

ROUNDS, TEXTS = 3, 48
CUTS = (300, 512)
BATCH = 32
"""Texts of a batch of the libraries, which is their default."""
DENSE_TOLERANCE = 1e-6
COSINE = 0.9999
"""What bfloat16 must keep, on average over tokens."""

WORDS = ("gene", "protein", "cell", "in", "the", "of", "expression", "risk", "mice", "treatment")

Work = Callable[[Sequence[str]], Any]


@dataclass(slots=True)
class Taken:
    """What the rounds of one contender took: seconds on the clock, and of processors."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def dense_contenders(scratch: Path) -> tuple[dict[str, Work], LocalDenseEmbedder]:
    """Return what makes dense vectors by name, the reference last; and our embedder."""
    from sentence_transformers import SentenceTransformer

    checkpoint = encoder_folder()
    ours = LocalDenseEmbedder(export_dense(read_dense_checkpoint(checkpoint), scratch / "dense"))
    theirs = SentenceTransformer(str(checkpoint), device="cpu")
    return {
        "embed": lambda texts: ours.embed_many(texts, "document"),
        "sentence-transformers": lambda texts: theirs.encode_document(
            list(texts), batch_size=BATCH
        ),
    }, ours


def late_interaction_checkpoint(folder: Path, cut: int) -> Path:
    """Return the checkpoint whose documents are cut there, in PyLate's layout."""
    return write_pylate_checkpoint(
        folder,
        encoder=encoder_folder(),
        projection=(ProjectionLayer(weight=untrained_head(dim=128, seed=0)),),
        settings=replace(SETTINGS, document_length=cut),
        origin=demo_origin(),
    )


def token_contenders(scratch: Path, cut: int) -> tuple[dict[str, Work], LocalEmbedder]:
    """Return what makes token vectors by name, the peers last; and our exact embedder."""
    checkpoint = late_interaction_checkpoint(scratch / f"checkpoint-{cut}", cut)
    # What is written is compared with the libraries by tests; here the seconds count.
    folder, fused_folder = (
        export_checkpoint(
            read_checkpoint(checkpoint),
            scratch / f"model-{cut}-{is_fused}",
            ExportOptions(verify=False, optimize=is_fused),
        )
        for is_fused in (False, True)
    )
    ours, fused = (LocalEmbedder(each, threads=1) for each in (folder, fused_folder))
    pool = ThreadPoolExecutor(processors())
    found: dict[str, Work] = {
        "embed": lambda texts: embed_documents(ours, texts, pool),
        "embed, --optimize": lambda texts: embed_documents(fused, texts, pool),
    }
    try:
        near = LocalEmbedder(folder, threads=1, calls=processors(), runtime="openvino-bf16")
        found["embed, openvino-bf16"] = lambda texts: embed_documents(near, texts, pool)
    except (MissingExtraError, SpecError) as error:
        print(f"  openvino-bf16 is left out: {error}")
    return found | library_contenders(checkpoint), ours


def library_contenders(checkpoint: Path) -> dict[str, Work]:
    """Return what libraries that can be imported make of a late-interaction checkpoint."""
    found: dict[str, Work] = {}
    with contextlib.suppress(ImportError):
        library = importlib.import_module("sentence_transformers.multi_vector_encoder")
        encoder = library.MultiVectorEncoder(str(checkpoint), device="cpu")
        found["sentence-transformers"] = lambda texts: encoder.encode_document(
            list(texts), batch_size=BATCH
        )
    with contextlib.suppress(ImportError):
        models = importlib.import_module("pylate.models")
        model = models.ColBERT(str(checkpoint), device="cpu")
        found["PyLate"] = lambda texts: model.encode(
            list(texts), batch_size=BATCH, is_query=False, show_progress_bar=False
        )
    if not found:
        sys.exit("neither sentence-transformers 6 nor PyLate can be imported")
    return found


def measure(
    contenders: dict[str, Work], texts: Sequence[str], tokens: int, rounds: int, peers: set[str]
) -> None:
    """Print tokens a second, and how often as many as each peer, by the clock and by processors."""
    taken = {name: Taken() for name in contenders}
    for work in contenders.values():
        work(texts[:4])
    for _round in range(rounds):
        for name, work in contenders.items():
            clock, processor = time.perf_counter(), time.process_time()
            work(texts)
            taken[name].clock.append(time.perf_counter() - clock)
            taken[name].processor.append(time.process_time() - processor)
    wide = max(map(len, peers)) + 4
    heads = "".join(f"{f'x {name}':>{wide}}{'(processor)':>13}" for name in sorted(peers))
    print(f"  {'':<24}{'tokens/s':>10}{'texts/s':>9}{heads}")
    for name, mine in taken.items():
        median = statistics.median(mine.clock)
        ratios = "".join(
            f"{paired(taken[peer].clock, mine.clock):>{wide}.2f}"
            f"{paired(taken[peer].processor, mine.processor):>13.2f}"
            for peer in sorted(peers)
        )
        print(f"  {name:<24}{tokens / median:>10.0f}{len(texts) / median:>9.1f}{ratios}")


def paired(theirs: Sequence[float], mine: Sequence[float]) -> float:
    """Return the median of ratios of the same round."""
    return statistics.median(one / other for one, other in zip(theirs, mine, strict=True))


def some_texts(path: Path | None, count: int) -> list[str]:
    """Return the texts of a corpus's first documents, titles before them, or drawn words."""
    if path is None:
        draw = np.random.default_rng(5)
        return [" ".join(draw.choice(WORDS, size)) for size in draw.integers(100, 600, count)]
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in islice(stream, count)]
    return [f"{row.get('title', '')} {row['text']}".strip() for row in rows]


def measure_dense(texts: Sequence[str], rounds: int, scratch: Path) -> None:
    """Print the table of a dense model."""
    contenders, embedder = dense_contenders(scratch)
    tokens = sum(len(embedder.token_ids(text, "document")) for text in texts)
    ours, theirs = (np.asarray(work(texts[:8])) for work in contenders.values())
    worst = float(np.abs(ours - theirs).max())
    print(f"dense: {tokens} tokens; largest difference {worst:.1e} (at most {DENSE_TOLERANCE})")
    if worst > DENSE_TOLERANCE:
        sys.exit("the vectors differ: nothing was measured")
    measure(contenders, texts, tokens, rounds, {"sentence-transformers"})


def measure_tokens(texts: Sequence[str], rounds: int, scratch: Path, cut: int) -> None:
    """Print the table of a late-interaction model."""
    contenders, embedder = token_contenders(scratch, cut)
    tokens = sum(len(embedder.transformer_input(text, "document").ids) for text in texts)
    print(f"late interaction, cut at {cut}: {tokens} tokens, mean {tokens / len(texts):.0f}")
    if near := contenders.get("embed, openvino-bf16"):
        one, other = (np.concatenate(work(texts[:8])) for work in (contenders["embed"], near))
        cosine = float((one * other).sum(1).mean())
        print(f"  bfloat16: mean cosine {cosine:.5f} (at least {COSINE})")
        if cosine < COSINE:
            sys.exit("bfloat16 is too far from float32: nothing was measured")
    peers = {name for name in contenders if not name.startswith("embed")}
    measure(contenders, texts, tokens, rounds, peers)


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    texts = some_texts(asked.corpus, asked.texts)
    print(f"{len(texts)} texts, {processors()} cores, {asked.rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        measure_dense(texts, asked.rounds, Path(name))
        for cut in CUTS:
            measure_tokens(texts, asked.rounds, Path(name), cut)


if __name__ == "__main__":
    main()
