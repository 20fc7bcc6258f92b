"""A question → hits, by a rank profile of the package's schema, evaluated in numpy."""

import sys
from pathlib import Path

from vespa_colbert.export import read_model_folder
from vespa_colbert.pipeline import Searcher

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
searcher = Searcher(folder / "app", folder / "index", read_model_folder(folder / "model"))

for profile in ("bm25", "max_sim_float", "max_sim_int8", "rerank_int8"):
    print(profile)
    for hit in searcher.search("how do I open a file?", profile, hits=3):
        print(f"  {hit.relevance:<10.4g}{hit.id}")
