"""Corpus → local index and Vespa feed file, embedded as the schema's own indexing says."""

import sys
from pathlib import Path

from vespa_colbert.export import read_model_folder
from vespa_colbert.pipeline import embed_corpus, feed_corpus, only_schema

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
schema = only_schema(folder / "app")
made = embed_corpus(
    folder / "corpus.jsonl", read_model_folder(folder / "model"), schema, folder / "index"
)
feed_corpus(made.value, folder / "feed.jsonl", namespace="passages", schema=schema)

print("reused" if made.reused else "written", len(made.value), "documents")
for name, rows in made.value.tensors.items():
    print(f"  {name:<16}{rows.type}  {len(rows.values)} token vectors")
