"""The same score from Vespa's own Java, which reads the same package."""

import sys
from pathlib import Path

from vespa_colbert.export import read_model_folder
from vespa_colbert.pipeline import Searcher
from vespa_colbert.vespa_java import VespaJava

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
searcher = Searcher(folder / "app", folder / "index", read_model_folder(folder / "model"))
question, profile, field = "how do I open a file?", "max_sim_int8", "colbert_int8"

with VespaJava() as java:
    report = java.validate_application(folder / "app")
    print("accepted" if report.accepted else report.errors, "by Vespa", report.vespa_version)
    for hit in searcher.search(question, profile, hits=3):
        bindings = {
            "query(qt)": searcher.query(question, profile).tensors["qt"],
            f"attribute({field})": searcher.index.tensors[field].document(hit.position),
        }
        theirs = java.evaluate(folder / "app", "passage", profile, "first-phase", bindings)
        print(f"  {hit.id:<24}local {hit.relevance:.9g}  Java {theirs.as_number():.9g}")
