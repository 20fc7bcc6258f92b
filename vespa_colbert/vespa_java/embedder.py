"""In the worker: texts through Vespa's ColBertEmbedder, with what its encoder was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import Applications, BuiltApplication, file_facts
from vespa_colbert.vespa_java.components import (
    EVALUATOR,
    ONNX_CONFIG,
    TextComponents,
    components_of,
    local_reference,
)
from vespa_colbert.vespa_java.evaluator import from_java, type_of
from vespa_colbert.vespa_java.jvm import java_class, java_map, proxy
from vespa_colbert.vespa_java.recently_used import RecentlyUsed
from vespa_colbert.vespa_java.report import EmbedderComponent, EmbedderFiles

__all__ = ["Embedders", "WireEmbedding", "component_ids"]

COLBERT_EMBEDDER = "ai.vespa.embedding.ColBertEmbedder"
COLBERT_CONFIG = "com.yahoo.embedding.ColBertEmbedderConfig"

KEPT = 2
"""Embedders kept ready; each holds a model in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEmbedding:
    """A text's embedding, each tensor in Vespa's binary format.

    Attributes:
        token_ids: tensor(d0[1],d1[token]).
        attention_mask: tensor(d0[1],d1[token]).
        contextual: tensor<float>(d0[1],d1[token],d2[dim]).
        tensor: The value of the destination.
    """

    token_ids: bytes
    attention_mask: bytes
    contextual: bytes
    tensor: bytes


class Recorder:
    """An OnnxEvaluator that keeps the inputs and outputs of its last evaluation."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.inputs: Any = None
        self.outputs: Any = None

    def evaluate(self, inputs: Any, timeout: Any) -> Any:
        """Return the outputs by name."""
        import jpype

        # Without a type, null would fit two of the overloads.
        duration = jpype.JObject(timeout, java_class("java.time.Duration"))
        self.inputs, self.outputs = inputs, self.real.evaluate(inputs, duration)
        return self.outputs

    def getInputInfo(self) -> Any:  # noqa: N802 - Java's name
        """Return the inputs by name."""
        return self.real.getInputInfo()

    def getOutputInfo(self) -> Any:  # noqa: N802 - Java's name
        """Return the outputs by name."""
        return self.real.getOutputInfo()

    def close(self) -> None:
        """Close the session."""
        self.real.close()


class RecordingRuntime:
    """An OnnxRuntime whose evaluator is recorded."""

    def __init__(self) -> None:
        self.real = java_class(f"{EVALUATOR}.EmbeddedOnnxRuntime").createTestInstance()
        self.recorder: Recorder | None = None

    def evaluatorOf(self, model: Any, options: Any) -> Any:  # noqa: N802 - Java's name
        """Return an evaluator of an ONNX file."""
        self.recorder = Recorder(self.real.evaluatorOf(model, options))
        return proxy(f"{EVALUATOR}.OnnxEvaluator", self.recorder)


class Embedders:
    """Embeds texts by embedders that are built when first named.

    Args:
        applications: Builds the packages that embedders are configured by.
    """

    def __init__(self, applications: Applications) -> None:
        self.applications = applications
        self.kept: RecentlyUsed[tuple[object, ...], _Embedder] = RecentlyUsed(
            KEPT, lambda each: each.embedder.deconstruct()
        )
        self.others = TextComponents()

    def embed(
        self,
        source: EmbedderFiles | EmbedderComponent,
        texts: Sequence[str],
        destination: str,
        tensor_type: str,
    ) -> list[WireEmbedding]:
        """Return the embedding of each text.

        Args:
            source: Which embedder.
            texts: Without lone surrogates.
            destination: ``query(qt)`` or ``schema.field``, from which Vespa takes the role.
            tensor_type: Type of the destination.
        """
        embedder = self._embedder(source)
        target = type_of(tensor_type)
        return [embedder.embed(text, destination, target) for text in texts]

    def java_embedders(
        self, application: BuiltApplication, models: Mapping[str, Path] | None = None
    ) -> Any:
        """Return the id of each component of a package that reads texts → the component.

        Args:
            application: The package.
            models: Web address → local copy, for files that are on the web.
        """
        copies, folder = models or {}, application.report.folder
        named = self.others.named(application, copies)
        ids = component_ids(application)
        self.kept.make_room(len(ids))
        for name in ids:
            source = EmbedderComponent(folder=folder, component_id=name, models=copies)
            named[name] = self._embedder(source).embedder
        return java_map(named)

    def _embedder(self, source: EmbedderFiles | EmbedderComponent) -> _Embedder:
        config, onnx, title = self._configured(source)
        paths = (config.transformerModel(), config.tokenizerPath())
        key = (str(config), str(onnx), *(file_facts(Path(str(path))) for path in paths))
        return self.kept.get(key, lambda: _Embedder(config, onnx, title))

    def _configured(self, source: EmbedderFiles | EmbedderComponent) -> tuple[Any, Any, str]:
        """Return the embedder's two configurations with local files, and what errors call it."""
        if isinstance(source, EmbedderFiles):
            onnx = java_class(ONNX_CONFIG).Builder()
            return _spec_config(source), onnx.gpuDevice(-1).build(), str(source.model)
        application, _ = self.applications.require(source.folder)
        config_id = _component_config_id(application, source)
        config = application.config(COLBERT_CONFIG, config_id)
        local = java_class(COLBERT_CONFIG).Builder(config)
        model, tokenizer = (
            local_reference(each, application, source.models, source.component_id)
            for each in (config.transformerModelReference(), config.tokenizerPathReference())
        )
        local.transformerModel(model).tokenizerPath(tokenizer)
        onnx = java_class(ONNX_CONFIG).Builder(application.config(ONNX_CONFIG, config_id))
        # A GPU would give other last bits than the CPU that serves, and judges differ by machine.
        return local.build(), onnx.gpuDevice(-1).build(), source.component_id


class _Embedder:
    """One ColBertEmbedder, its model loaded."""

    def __init__(self, config: Any, onnx: Any, title: str) -> None:
        runtime = RecordingRuntime()
        self.title, self.config = title, config
        self.embedder = java_class(COLBERT_EMBEDDER)(
            proxy(f"{EVALUATOR}.OnnxRuntime", runtime),
            java_class("com.yahoo.language.process.Embedder").Runtime.testInstance(),
            config,
            onnx,
        )
        if runtime.recorder is None:
            raise VespaJavaError(f"{title}: Vespa's embedder loaded no model")
        self.recorder = runtime.recorder

    def embed(self, text: str, destination: str, target: Any) -> WireEmbedding:
        """Return the embedding of one text.

        Source: ColBertEmbedder.embed, Vespa 8.700.24. Its context remembers texts without their
        role, so that each call gets a context of its own.
        """
        context = java_class("com.yahoo.language.process.Embedder").Context(destination)
        tensor = self.embedder.embed(text, context, target)
        inputs, outputs = self.recorder.inputs, self.recorder.outputs
        return WireEmbedding(
            token_ids=from_java(inputs.get(self.config.transformerInputIds())),
            attention_mask=from_java(inputs.get(self.config.transformerAttentionMask())),
            contextual=from_java(outputs.get(self.config.transformerOutput())),
            tensor=from_java(tensor),
        )


def _spec_config(files: EmbedderFiles) -> Any:
    """Return the configuration that services.xml would give with the same facts.

    Source: col-bert-embedder.def and ColBertEmbedder.getConfig of the config model, Vespa 8.700.24.
    """
    spec = files.spec
    references = java_class("com.yahoo.config.ModelReference")
    paths = java_class("java.nio.file.Path")
    return (
        java_class(COLBERT_CONFIG)
        .Builder()
        .transformerModel(references.resolved(paths.of(str(files.model.absolute()))))
        .tokenizerPath(references.resolved(paths.of(str(files.tokenizer.absolute()))))
        .transformerMaxTokens(spec.max_tokens)
        .maxQueryTokens(spec.max_query_tokens)
        .maxDocumentTokens(spec.max_document_tokens)
        .transformerStartSequenceToken(spec.start_id)
        .transformerEndSequenceToken(spec.end_id)
        .transformerMaskToken(spec.mask_id)
        .transformerPadToken(spec.pad_id)
        .queryTokenId(spec.query_marker_id)
        .documentTokenId(spec.document_marker_id)
        .attendToExpansionTokens(spec.expansion_emitted)
        .build()
    )


def component_ids(application: BuiltApplication) -> dict[str, str]:
    """Return the id of each ColBERT embedder of a package → its configuration id."""
    return components_of(application, COLBERT_EMBEDDER)


def _component_config_id(application: BuiltApplication, source: EmbedderComponent) -> str:
    """Return the configuration id of the embedder that services.xml names.

    Raises:
        VespaJavaError: If there is no such component, or it is another kind of embedder.
    """
    found = component_ids(application)
    if source.component_id not in found:
        raise VespaJavaError(
            f"{source.folder}: expected a ColBERT embedder among {sorted(found)}, "
            f"got {source.component_id!r}"
        )
    return found[source.component_id]
