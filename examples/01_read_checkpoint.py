"""A checkpoint folder → every fact that later stages need, and where each comes from."""

import sys
from pathlib import Path

from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import embedder_spec

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
checkpoint = read_checkpoint(folder / "checkpoint")

print(f"{checkpoint.layout} layout, {checkpoint.encoder.model_type}, {checkpoint.dim} dims")
for fact, source in checkpoint.provenance.items():
    print(f"  {fact:<22}{source}")
print(embedder_spec(checkpoint))
