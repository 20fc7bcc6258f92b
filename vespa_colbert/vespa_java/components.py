"""In the worker: components of a package that turn a text into one vector, or into token ids."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import BuiltApplication, file_facts
from vespa_colbert.vespa_java.jvm import java_class, proxy
from vespa_colbert.vespa_java.recently_used import RecentlyUsed

__all__ = [
    "DENSE_CONFIG",
    "DENSE_EMBEDDER",
    "EVALUATOR",
    "ONNX_CONFIG",
    "GivenPaths",
    "TextComponents",
    "components_of",
    "dense_config",
    "local_reference",
]

DENSE_EMBEDDER = "ai.vespa.embedding.HuggingFaceEmbedder"
DENSE_CONFIG = "com.yahoo.embedding.huggingface.HuggingFaceEmbedderConfig"
TOKENIZER = "com.yahoo.language.huggingface.HuggingFaceTokenizer"
TOKENIZER_CONFIG = "com.yahoo.language.huggingface.config.HuggingFaceTokenizerConfig"
EVALUATOR = "ai.vespa.modelintegration.evaluator"
ONNX_CONFIG = f"{EVALUATOR}.config.OnnxEvaluatorConfig"

KEPT = 4
"""Components kept ready."""


class GivenPaths:
    """A ModelPathHelper for references that point to files of this machine already."""

    def getModelPathResolvingIfNecessary(self, reference: Any) -> Any:  # noqa: N802 - Java's name
        """Return the path of a file."""
        return java_class("java.nio.file.Path").of(str(reference.value()))


class TextComponents:
    """Components of type ``hugging-face-embedder`` and ``hugging-face-tokenizer``, ready to use."""

    def __init__(self) -> None:
        self.kept: RecentlyUsed[tuple[object, ...], Any] = RecentlyUsed(
            KEPT, lambda each: each.deconstruct()
        )

    def named(self, application: BuiltApplication, models: Mapping[str, Path]) -> dict[str, Any]:
        """Return the id of each component of a package → the component.

        Args:
            application: The package.
            models: Web address → local copy, for files that are on the web.
        """
        found = {}
        dense, tokenizers = (
            components_of(application, each) for each in (DENSE_EMBEDDER, TOKENIZER)
        )
        self.kept.make_room(len(dense) + len(tokenizers))
        for name, config_id in dense.items():
            config, onnx, key = dense_config(application, config_id, models)
            found[name] = self.kept.get(key, functools.partial(_dense_embedder, config, onnx))
        for name, config_id in tokenizers.items():
            config, key = _tokenizer_config(application, config_id, models)
            found[name] = self.kept.get(key, functools.partial(java_class(TOKENIZER), config))
        return found


def components_of(application: BuiltApplication, class_name: str) -> dict[str, str]:
    """Return the id of each component of a class → its configuration id."""
    return dict(_components(application, class_name))


def _components(application: BuiltApplication, class_name: str) -> Iterator[tuple[str, str]]:
    for cluster in application.model.getContainerClusters().values():
        for component in cluster.getAllComponents():
            if str(component.getClassId().getName()) == class_name:
                yield str(component.getComponentId().getName()), str(component.getConfigId())


def local_reference(
    reference: Any, application: BuiltApplication, models: Mapping[str, Path], where: str
) -> Any:
    """Return a model reference that points to a file of this machine.

    Args:
        reference: What the configuration says.
        application: The package, which may hold the file.
        models: Web address → local copy.
        where: What errors call the component.

    Raises:
        VespaJavaError: If the file is on the web and no local copy was named.
    """
    if reference.isResolved():
        return reference
    if reference.url().isPresent():
        path = _copy_of(str(reference.url().get().value()), models)
    elif reference.path().isPresent():
        path = application.files.path_of(str(reference.path().get().value()))
    else:
        raise VespaJavaError(f"{where}: {reference} is a model of Vespa Cloud")
    paths = java_class("java.nio.file.Path")
    return java_class("com.yahoo.config.ModelReference").resolved(paths.of(str(path.absolute())))


def _copy_of(url: str, models: Mapping[str, Path]) -> Path:
    """Return the local copy of a file on the web.

    Raises:
        VespaJavaError: If none was named.
    """
    if url not in models:
        raise VespaJavaError(f"{url}: name its local copy; known are {sorted(models) or 'none'}")
    return models[url]


def dense_config(
    application: BuiltApplication, config_id: str, models: Mapping[str, Path]
) -> tuple[Any, Any, tuple[object, ...]]:
    """Return the two configurations of an embedder with local files, and what makes them alike."""
    config = application.config(DENSE_CONFIG, config_id)
    references = [
        local_reference(each, application, models, config_id)
        for each in (config.transformerModelReference(), config.tokenizerPathReference())
    ]
    local = java_class(DENSE_CONFIG).Builder(config)
    local.transformerModel(references[0]).tokenizerPath(references[1])
    onnx = java_class(ONNX_CONFIG).Builder(application.config(ONNX_CONFIG, config_id))
    # A GPU would give other last bits than the CPU that serves, and judges differ by machine.
    made = local.build(), onnx.gpuDevice(-1).build()
    files = (file_facts(Path(str(each.value()))) for each in references)
    return *made, (str(made[0]), str(made[1]), *files)


def _dense_embedder(config: Any, onnx: Any) -> Any:
    """Return a HuggingFaceEmbedder."""
    return java_class(DENSE_EMBEDDER)(
        java_class(f"{EVALUATOR}.EmbeddedOnnxRuntime").createTestInstance(),
        java_class("com.yahoo.language.process.Embedder").Runtime.testInstance(),
        config,
        onnx,
        proxy("ai.vespa.modelintegration.utils.ModelPathHelper", GivenPaths()),
    )


def _tokenizer_config(
    application: BuiltApplication, config_id: str, models: Mapping[str, Path]
) -> tuple[Any, tuple[object, ...]]:
    """Return the configuration of a tokenizer with local files, and what makes it alike."""
    config = application.config(TOKENIZER_CONFIG, config_id)
    local, files = java_class(TOKENIZER_CONFIG).Builder(config), list[object]()
    languages = java_class("java.util.ArrayList")()
    for each in config.model():
        path = local_reference(each.pathReference(), application, models, config_id)
        builder = java_class(f"{TOKENIZER_CONFIG}$Model$Builder")()
        languages.add(builder.language(each.language()).path(path))
        files.append(file_facts(Path(str(path.value()))))
    made = local.model(languages).build()
    return made, (str(made), *files)
