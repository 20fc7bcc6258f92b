"""How many of the best documents a graph over token vectors finds, and for how much work.

Usage: python benchmarks/token_graph.py --index INDEX --model MODEL --queries QUERIES
       [--field colbert_float] [--hits 5,10,20,30,50,100] [--most-queries 50]

INDEX is a local index with a field of float vectors, QUERIES are JSON lines with _id and text. For
each number of target hits: the share of the ten best documents by exact MaxSim that are among the
candidates of all query tokens, how many candidates there are, and the dot products that were made,
in the graph and for the candidates, as a share of those of the exact scan. Needs the extra ann.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.export import read_model_folder
from vespa_colbert.index import DocumentRows, open_index, read_queries
from vespa_colbert.index.candidates import united
from vespa_colbert.index.token_graph import GraphOptions, TokenGraph, build_graph
from vespa_colbert.rank.kernels import max_sim

BEST = 10
WANTED, MOST_WORK = 0.95, 0.1


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--field", default="colbert_float")
    parser.add_argument("--hits", default="5,10,20,30,50,100")
    parser.add_argument("--explore", type=int, default=GraphOptions().explore)
    parser.add_argument("--most-queries", type=int, default=50)
    return parser.parse_args()


def questions(path: Path, model: Path, most: int) -> list[NDArray[np.float32]]:
    """Return the token vectors of queries, evenly spaced in their file."""
    embedder, every = LocalEmbedder(read_model_folder(model)), read_queries(path)
    chosen = np.unique(np.linspace(0, len(every) - 1, most).astype(int)).tolist()
    return [embedder.embed(every[place].text, "query") for place in chosen]


def recall_and_work(
    graph: TokenGraph, rows: DocumentRows, asked: list[NDArray[np.float32]], hits: int
) -> tuple[float, float, float]:
    """Return the share of the best that is found, that of the documents, and that of the work."""
    import faiss

    counted: Any = faiss.cvar
    lengths, figures = np.diff(rows.offsets), []
    for query in asked:
        best = np.argsort(-max_sim(query, rows.values, rows.offsets), kind="stable")[:BEST]
        statistics = counted.hnsw_stats
        statistics.reset()
        found = united(graph.nearest(query, hits))
        made = statistics.ndis + int(lengths[found].sum()) * len(query)
        shared = len({*best.tolist()} & {*found.tolist()}) / len(best)
        figures.append((shared, len(found) / len(rows), made / (len(rows.values) * len(query))))
    recall, candidates, work = np.mean(figures, axis=0).tolist()
    return recall, candidates, work


def main() -> None:
    """Print a line for each number of target hits.

    Raises:
        SystemExit: If the field holds something else than vectors of one text a document.
    """
    import faiss

    said = arguments()
    rows = open_index(said.index).tensors[said.field]
    if not isinstance(rows, DocumentRows):
        raise SystemExit(f"{said.field}: expected vectors of one text a document, got {rows.type}")
    asked = questions(said.queries, said.model, said.most_queries)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    started = time.perf_counter()
    graph = build_graph(rows, "dotproduct", GraphOptions(explore=said.explore))
    print(
        f"{len(rows):,} documents, {len(rows.values):,} token vectors, {len(asked)} queries of "
        f"{len(asked[0])} tokens; graph built in {time.perf_counter() - started:.0f} s"
    )
    for hits in map(int, said.hits.split(",")):
        recall, candidates, work = recall_and_work(graph, rows, asked, hits)
        is_enough = recall >= WANTED and work <= MOST_WORK
        print(
            f"  target hits {hits:>4}: recall@{BEST} {recall:.3f}, candidates {candidates:.1%} of "
            f"the documents, work {work:.3f} of the scan{'  ok' if is_enough else ''}"
        )


if __name__ == "__main__":
    main()
