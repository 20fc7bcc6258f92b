"""In the worker: texts through Vespa's HuggingFaceEmbedder, with what its encoder was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import Applications, file_facts
from vespa_colbert.vespa_java.components import (
    DENSE_CONFIG,
    DENSE_EMBEDDER,
    ONNX_CONFIG,
    GivenPaths,
    components_of,
    dense_config,
)
from vespa_colbert.vespa_java.embedder import RecordingRuntime
from vespa_colbert.vespa_java.evaluator import from_java, type_of
from vespa_colbert.vespa_java.jvm import java_class, proxy
from vespa_colbert.vespa_java.recently_used import RecentlyUsed
from vespa_colbert.vespa_java.report import DenseFiles, EmbedderComponent

__all__ = ["DenseEmbedders", "WireVector"]

EVALUATOR = "ai.vespa.modelintegration.evaluator"
KEPT = 2
"""Embedders kept ready; each holds a model in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireVector:
    """A text's vector, each tensor in Vespa's binary format.

    Attributes:
        token_ids: tensor(d0[1],d1[token]).
        output: What the graph gave: tensor<float>(d0[1],d1[token],d2[width]), or
            tensor<float>(d0[1],d1[width]).
        tensor: The value of the destination.
    """

    token_ids: bytes
    output: bytes
    tensor: bytes


class DenseEmbedders:
    """Embeds texts by embedders that are built when first named.

    Args:
        applications: Builds the packages that embedders are configured by.
    """

    def __init__(self, applications: Applications) -> None:
        self.applications = applications
        self.kept: RecentlyUsed[tuple[object, ...], _DenseEmbedder] = RecentlyUsed(
            KEPT, lambda each: each.embedder.deconstruct()
        )

    def embed(
        self,
        source: DenseFiles | EmbedderComponent,
        texts: Sequence[str],
        destination: str,
        tensor_type: str,
    ) -> list[WireVector]:
        """Return the vector of each text.

        Args:
            source: Which embedder.
            texts: Without lone surrogates.
            destination: ``query(q)`` or ``schema.field``, from which Vespa takes the role.
            tensor_type: Type of the destination.
        """
        embedder, target = self._embedder(source), type_of(tensor_type)
        return [embedder.embed(text, destination, target) for text in texts]

    def _embedder(self, source: DenseFiles | EmbedderComponent) -> _DenseEmbedder:
        config, onnx, key = self._configured(source)
        return self.kept.get(key, lambda: _DenseEmbedder(config, onnx))

    def _configured(
        self, source: DenseFiles | EmbedderComponent
    ) -> tuple[Any, Any, tuple[object, ...]]:
        """Return the two configurations with local files, and what makes embedders alike.

        Raises:
            VespaJavaError: If the package has no such component.
        """
        if isinstance(source, DenseFiles):
            config = _spec_config(source)
            onnx = java_class(ONNX_CONFIG).Builder().gpuDevice(-1).build()
            files = (file_facts(path) for path in (source.model, source.tokenizer))
            return config, onnx, (str(config), *files)
        application, _ = self.applications.require(source.folder)
        found = components_of(application, DENSE_EMBEDDER)
        if source.component_id not in found:
            raise VespaJavaError(
                f"{source.folder}: expected a hugging-face-embedder among {sorted(found)}, got "
                f"{source.component_id!r}"
            )
        return dense_config(application, found[source.component_id], source.models)


class _DenseEmbedder:
    """One HuggingFaceEmbedder, its model loaded."""

    def __init__(self, config: Any, onnx: Any) -> None:
        runtime = RecordingRuntime()
        self.config = config
        self.embedder = java_class(DENSE_EMBEDDER)(
            proxy(f"{EVALUATOR}.OnnxRuntime", runtime),
            java_class("com.yahoo.language.process.Embedder").Runtime.testInstance(),
            config,
            onnx,
            proxy("ai.vespa.modelintegration.utils.ModelPathHelper", GivenPaths()),
        )
        if runtime.recorder is None:
            raise VespaJavaError("Vespa's embedder loaded no model")
        self.recorder = runtime.recorder

    def embed(self, text: str, destination: str, target: Any) -> WireVector:
        """Return the vector of one text; a context of its own keeps others out of it."""
        context = java_class("com.yahoo.language.process.Embedder").Context(destination)
        tensor = self.embedder.embed(text, context, target)
        inputs, outputs = self.recorder.inputs, self.recorder.outputs
        return WireVector(
            token_ids=from_java(inputs.get(self.config.transformerInputIds())),
            output=from_java(outputs.get(self.config.transformerOutput())),
            tensor=from_java(tensor),
        )


def _spec_config(files: DenseFiles) -> Any:
    """Return the configuration that services.xml would give with the same facts.

    Source: hugging-face-embedder.def and HuggingFaceEmbedder.getConfig of the config model, Vespa
    8.700.24.
    """
    spec = files.spec
    references = java_class("com.yahoo.config.ModelReference")
    poolings = java_class(f"{DENSE_CONFIG}$PoolingStrategy$Enum")

    def reference(path: Path) -> Any:
        return references.resolved(java_class("java.nio.file.Path").of(str(path.absolute())))

    return (
        java_class(DENSE_CONFIG)
        .Builder()
        .transformerModel(reference(files.model))
        .tokenizerPath(reference(files.tokenizer))
        .transformerMaxTokens(spec.max_tokens)
        .transformerInputIds(spec.input_ids)
        .transformerAttentionMask(spec.attention_mask)
        .transformerTokenTypeIds(spec.token_type_ids)
        .transformerOutput(spec.output)
        .prependQuery(spec.query_prepend)
        .prependDocument(spec.document_prepend)
        .normalize(spec.normalize)
        .poolingStrategy(poolings.valueOf(spec.pooling))
        .build()
    )
