"""Small judged collections in BEIR's form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from vespa_colbert.evaluate import JudgedCollection, beir_files, read_judged


def judged_collection(
    folder: Path, texts: Sequence[str], queries: Mapping[str, str], qrels: str
) -> JudgedCollection:
    """Return a collection after writing its files.

    Args:
        folder: Where they are written; it is there and empty.
        texts: Of the documents d0, d1 and so on.
        queries: Id → text.
        qrels: Lines of query, document and grade.
    """
    rows = {
        "corpus": [{"_id": f"d{place}", "text": text} for place, text in enumerate(texts)],
        "queries": [{"_id": name, "text": text} for name, text in queries.items()],
    }
    for name, each in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in each)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return read_judged(beir_files(folder))
