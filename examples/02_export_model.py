"""Checkpoint → model folder: ONNX with `contextual`, compared with torch before it has a name."""

import sys
from pathlib import Path

from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import export_checkpoint

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
model = export_checkpoint(read_checkpoint(folder / "checkpoint"), folder / "model", progress=print)

for case in model.verification["cases"]:
    print(
        f"  batch {case['batch']} x {case['sequence']:<4}{case['attention']:<8}{case['worst']:.1e}"
    )
