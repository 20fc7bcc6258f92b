"""Checkpoint → model folder: ONNX graph, tokenizer, manifest; and reading one back.

Importing this needs neither torch nor onnx; ``export_checkpoint`` imports them when called.
"""

from __future__ import annotations

from vespa_colbert.export.dense import (
    DenseFolder,
    dense_spec,
    export_dense,
    is_dense_folder,
    read_dense_folder,
)
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.describe import (
    Description,
    Difference,
    describe_checkpoint,
    embedder_spec,
    native_differences,
)
from vespa_colbert.export.export import export_checkpoint
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
    read_model_folder,
)
from vespa_colbert.export.options import (
    DEFAULT_OPSET,
    ExportOptions,
    Packaging,
    PackagingRequest,
)
from vespa_colbert.export.packaging import (
    PackagingChoice,
    PackagingOutlook,
    choose_packaging,
    compare_packagings,
)

__all__ = [
    "DEFAULT_OPSET",
    "EMBEDDER_FILE",
    "MODEL_FILE",
    "TOKENIZER_FILE",
    "DenseFolder",
    "DenseSpec",
    "Description",
    "Difference",
    "EmbedderSpec",
    "ExportOptions",
    "ModelFolder",
    "Packaging",
    "PackagingChoice",
    "PackagingOutlook",
    "PackagingRequest",
    "choose_packaging",
    "compare_packagings",
    "dense_spec",
    "describe_checkpoint",
    "embedder_spec",
    "export_checkpoint",
    "export_dense",
    "is_dense_folder",
    "native_differences",
    "read_dense_folder",
    "read_model_folder",
]
