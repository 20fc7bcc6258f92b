"""What the demo's head gains on SciFact: heads of several seeds beside untrained ones and words.

Usage: python benchmarks/demo_head.py --data DIR [--work DIR] [--seeds N] [--bm25 RUN]

DIR holds SciFact and the training rows, as `make train-demo-head` needs them. The encoder runs once
over the collection, in the windows of Vespa's embedder; its rows stay in the work folder. Heads are
made as the demo's was, by one seed each, and untrained ones by the same seeds; each ranks all
documents. A figure of several seeds is the mean over them, query by query, before anything is
compared: intervals and tests are over queries. "packed int8" is a float query against the signs of
documents. bm25 is Vespa's formula over plain terms, or the ranking of a file in TREC's form. The
hybrids rank the 100 best by bm25 anew, as the package's profiles do where words find: by the
reciprocal ranks of both, or by the sum of both scores, each from 0 to 1. The pooled cosine is
MiniLM's own: the mean of its rows, without markers, of at most 256 tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, pack_bits
from vespa_colbert.checkpoint import (
    ProjectionLayer,
    ReadOptions,
    read_checkpoint,
    write_pylate_checkpoint,
)
from vespa_colbert.checkpoint.head_file import read_head_file
from vespa_colbert.cli.console import Console
from vespa_colbert.demo.checkpoint import HEAD_FILE, SETTINGS, encoder_folder, untrained_head
from vespa_colbert.demo.training import train_demo_head
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.evaluate import JudgedCollection, beir_files, read_judged
from vespa_colbert.evaluate.significance import Sampling, bootstrap_intervals, randomization_test
from vespa_colbert.export import export_checkpoint, read_model_folder
from vespa_colbert.index import read_qrels
from vespa_colbert.index.lexical import LexicalField, plain_tokens
from vespa_colbert.rank.kernels import max_sim, max_sim_bits

HIDDEN, CONSTANT, AT_ONCE = 384, 8.0, 16
FUSED, HITS, K = 100, 10, 60.0
ABSENT = -1e9
REFERENCES = ("untrained, float", "untrained, packed int8", "bm25", "MiniLM pooled cosine")
Scores: TypeAlias = NDArray[np.float64]
"""(query, document); ``ABSENT`` where a document was not ranked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of an encoder, text after text.

    Attributes:
        values: (row, hidden) float32.
        offsets: (text + 1,) int64.
    """

    values: TokenVectors
    offsets: NDArray[np.int64]


def main() -> None:
    """Measure and print."""
    given = arguments()
    collection = read_judged(beir_files(given.data / "scifact", "test"))
    words = lexical(collection) if given.bm25 is None else from_run(collection, given.bm25)
    systems = {"bm25": [words], "MiniLM pooled cosine": [pooled(collection, given.work)]}
    documents, queries = encoder_rows(collection, given.work)
    heads = dict(all_heads(given.data, given.work, given.seeds))
    for kind, layers in heads.items():
        for layer in layers:
            for name, scores in ranked(layer, documents, queries).items():
                systems.setdefault(f"{kind}, {name}", []).append(scores)
                for how, fused in hybrids(words, scores).items():
                    systems.setdefault(f"bm25 + {kind}, {name}: {how}", []).append(fused)
    values = {name: [measured(collection, each) for each in of] for name, of in systems.items()}
    unseen = read_qrels(given.data / "scifact" / "qrels" / "test-unseen.tsv")
    for title, chosen in (
        ("all test claims", np.ones(len(collection.qrels), np.bool_)),
        ("test-unseen", np.array([query in unseen for query in collection.qrels])),
    ):
        part = {name: np.array(each)[:, chosen] for name, each in values.items()}
        print(f"\n{title}: {int(chosen.sum())} queries, nDCG@10\n")
        print("\n".join(table(part)))


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("output/demo-head-figures"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bm25", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    return given


def texts_of(collection: JudgedCollection) -> list[str]:
    """Return title and text of each document, as the package embeds them."""
    return [f"{each.text('title')} {each.text('text')}".strip() for each in collection.documents]


def rows_model(work: Path) -> Path:
    """Return the folder of a model whose vectors are the encoder's rows, made once.

    Its head gives a row with a constant behind it, of unit length: the constant says how long the
    row was.
    """
    model = work / "rows-model"
    if not model.exists():
        # A multiple of eight components, as packed ones need.
        weight = np.eye(HIDDEN + 8, HIDDEN, dtype=np.float32)
        bias = np.zeros(HIDDEN + 8, np.float32)
        bias[HIDDEN] = CONSTANT
        layer = ProjectionLayer(weight=weight, bias=bias)
        folder = write_pylate_checkpoint(
            work / "rows-checkpoint",
            encoder=encoder_folder(),
            projection=(layer,),
            settings=SETTINGS,
        )
        export_checkpoint(read_checkpoint(folder), model)
    return model


def encoder_rows(collection: JudgedCollection, work: Path) -> tuple[Rows, Rows]:
    """Return the encoder's rows of documents and of queries, made once."""
    embedder = LocalEmbedder(read_model_folder(rows_model(work)))

    def rows(name: str, texts: Sequence[str]) -> Rows:
        path, lengths = work / f"{name}.f32", work / f"{name}-lengths.npy"
        if not lengths.is_file():
            counts = []
            with path.open("wb") as stream, Console().track(name, len(texts)) as progress:
                for done, text in enumerate(texts, start=1):
                    vectors = embedder.embed(text, "query" if name == "queries" else "document")
                    row = vectors[:, :HIDDEN] / vectors[:, HIDDEN : HIDDEN + 1] * CONSTANT
                    stream.write(np.ascontiguousarray(row, np.float32).tobytes())
                    counts.append(len(row))
                    progress(done)
            np.save(lengths, counts)
        values = np.memmap(path, np.float32, "r").reshape(-1, HIDDEN)
        offsets = np.concatenate([[0], np.cumsum(np.load(lengths))]).astype(np.int64)
        assert len(values) == offsets[-1]
        return Rows(values=values, offsets=offsets)

    return rows("documents", texts_of(collection)), rows("queries", [*collection.queries.values()])


def all_heads(data: Path, work: Path, seeds: int) -> Iterator[tuple[str, list[ProjectionLayer]]]:
    """Yield the kinds of heads, each with one of every seed."""
    trained = []
    for seed in range(seeds):
        folder = work / f"trained-{seed}"
        if not (folder / HEAD_FILE).is_file():
            train_demo_head(data, folder / "work", folder, seed=seed, reporter=Console())
        trained.append(read_head_file(folder / HEAD_FILE, ReadOptions(), bias_wanted=False))
    yield "trained", trained
    yield (
        "untrained",
        [ProjectionLayer(weight=untrained_head(dim=128, seed=seed)) for seed in range(seeds)],
    )


def token_vectors(layer: ProjectionLayer, rows: Rows) -> TokenVectors:
    """Return what a head makes of rows: (row, dim) float32 of unit length."""
    found = np.empty((len(rows.values), layer.out_features), np.float32)
    for start in range(0, len(found), 1 << 16):
        part = rows.values[start : start + (1 << 16)] @ layer.weight.T
        part = part if layer.bias is None else part + layer.bias
        found[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return found


def ranked(layer: ProjectionLayer, documents: Rows, queries: Rows) -> dict[str, Scores]:
    """Return what is stored of documents → the scores of all of them."""
    stored, asked = token_vectors(layer, documents), token_vectors(layer, queries)
    packed = pack_bits(stored)
    found: dict[str, list[NDArray[np.float64]]] = {"float": [], "packed int8": []}
    with Console().track("queries", len(queries.offsets) - 1) as progress:
        for done, start in enumerate(queries.offsets[:-1], start=1):
            vectors = asked[start : queries.offsets[done]]
            found["float"].append(max_sim(vectors, stored, documents.offsets))
            found["packed int8"].append(max_sim_bits(vectors, packed, documents.offsets))
            progress(done)
    return {name: np.array(each) for name, each in found.items()}


def lexical(collection: JudgedCollection) -> Scores:
    """Return bm25 over plain terms."""
    field = LexicalField(texts_of(collection))
    return np.array([field.scores(plain_tokens(text)) for text in collection.queries.values()])


def from_run(collection: JudgedCollection, path: Path) -> Scores:
    """Return the scores of a file in TREC's form."""
    places = {each.id: place for place, each in enumerate(collection.documents)}
    asked = {query: place for place, query in enumerate(collection.queries)}
    scores = np.full((len(asked), len(places)), ABSENT)
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            query, _, document, _, score, _ = line.split()
            scores[asked[query], places[document]] = float(score)
    return scores


def hybrids(words: Scores, max_sims: Scores) -> dict[str, Scores]:
    """Return how two scores are fused → the fused ones, of the best by words."""
    reciprocal = np.full(words.shape, ABSENT)
    summed = reciprocal.copy()
    for query, (lexical_scores, vector_scores) in enumerate(zip(words, max_sims, strict=True)):
        places = np.argsort(-lexical_scores, kind="stable")[:FUSED]
        places = places[lexical_scores[places] > ABSENT]
        both = (lexical_scores[places], vector_scores[places])
        reciprocal[query, places] = sum(1 / (K + 1 + order(each)) for each in both)
        summed[query, places] = sum((each - each.min()) / max(np.ptp(each), 1e-9) for each in both)
    return {"reciprocal ranks": reciprocal, "normalised sum": summed}


def order(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the place of each when the best is the first, from 0."""
    return np.argsort(np.argsort(-scores, kind="stable"), kind="stable")


def measured(collection: JudgedCollection, scores: Scores) -> NDArray[np.float64]:
    """Return nDCG@10 of each query."""
    ids = [each.id for each in collection.documents]
    discounts = 1 / np.log2(np.arange(2, HITS + 2))
    found = []
    rows = dict(zip(collection.queries, scores, strict=True))
    for query, grades in collection.qrels.items():
        best = np.argsort(-rows[query], kind="stable")[:HITS]
        gains = [max(grades.get(ids[place], 0), 0) for place in best]
        ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:HITS]
        found.append(float(discounts @ gains / (discounts[: len(ideal)] @ ideal)))
    return np.array(found)


def pooled(collection: JudgedCollection, work: Path) -> Scores:
    """Return the cosines of MiniLM's own pooled vectors."""
    vectors = []
    for name, texts in (
        ("queries", [*collection.queries.values()]),
        ("documents", texts_of(collection)),
    ):
        path = work / f"pooled-{name}.npy"
        if not path.is_file():
            np.save(path, pooled_vectors(texts))
        vectors.append(np.load(path))
    scores: Scores = (vectors[0] @ vectors[1].T).astype(np.float64)
    return scores


def pooled_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean of the encoder's rows of each text, of unit length: (text, 384)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = encoder_folder()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    ids = [tokenizer(text, truncation=True, max_length=256)["input_ids"] for text in texts]
    found = np.zeros((len(texts), HIDDEN), np.float32)
    ordered = sorted(range(len(texts)), key=lambda place: -len(ids[place]))
    with Console().track("pooled vectors", len(texts)) as progress:
        for start in range(0, len(ordered), AT_ONCE):
            places = ordered[start : start + AT_ONCE]
            batch = tokenizer.pad(
                {"input_ids": [ids[each] for each in places]}, return_tensors="pt"
            )
            with torch.no_grad():
                rows = model.eval()(**batch)[0]
            mask = batch["attention_mask"][..., None]
            means = (rows * mask).sum(1) / mask.sum(1)
            found[places] = torch.nn.functional.normalize(means, dim=-1).numpy()
            progress(start + len(places))
    return found


def table(values: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Return Markdown: a line for each system, of the values (seed, query) that it has."""
    means = {name: each.mean(axis=0) for name, each in values.items()}
    head = ["system", "mean", "95 %", "seeds", *(f"against {name}" for name in REFERENCES)]
    lines = [head, ["---"] * len(head)]
    for name, mean in means.items():
        low, high = bootstrap_intervals(mean[:, None], Sampling())[0]
        seeds = " ".join(f"{each:.4f}" for each in values[name].mean(axis=1))
        against = ["" if other == name else difference(mean - means[other]) for other in REFERENCES]
        lines.append([name, f"{mean.mean():.4f}", f"{low:.3f} to {high:.3f}", seeds, *against])
    return [f"| {' | '.join(line)} |" for line in lines]


def difference(values: NDArray[np.float64]) -> str:
    """Return the mean of differences with its interval and its p-value, in words."""
    low, high = bootstrap_intervals(values[:, None], Sampling())[0]
    chance = randomization_test(values[:, None], Sampling())[0]
    return f"{values.mean():+.4f} ({low:+.3f} to {high:+.3f}, p {chance:.4f})"


if __name__ == "__main__":
    main()
