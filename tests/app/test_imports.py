from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "jinja2",
    "lark",
    "pydantic",
    "torch",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "jpype",
    "lxml",
)


def test_the_specs_load_no_library_that_they_do_not_need() -> None:
    code = f"import sys, vespa_colbert.app; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
