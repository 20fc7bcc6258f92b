"""Every decision about the application package: facts and options → spec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vespa_colbert.app.application import ApplicationSpec
from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import PackagedFile, RemoteFile
from vespa_colbert.app.faults import named
from vespa_colbert.app.field import DocumentSummary, FieldSet
from vespa_colbert.app.options import AppOptions
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.variants import COMPONENTS_A_CELL, VARIANTS, Design, Part
from vespa_colbert.app.variants.cross_encode import cross_encode_faults
from vespa_colbert.app.variants.dense import dense_faults
from vespa_colbert.app.variants.hybrid import hybrid_faults
from vespa_colbert.app.variants.lexical import lexical_faults
from vespa_colbert.app.variants.residual import residual_faults
from vespa_colbert.app.variants.texts import bm25_faults
from vespa_colbert.errors import SpecError
from vespa_colbert.export.facts_file import read_facts
from vespa_colbert.export.model_folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
)

__all__ = [
    "EMBEDDER_NAME",
    "application_spec",
    "folder_embedder",
    "published_embedder",
    "read_embedder_facts",
]

EMBEDDER_NAME = "colbert"


def folder_embedder(folder: ModelFolder) -> Embedder:
    """Return the embedder of a model folder, whose two files travel in the package."""

    def packaged(name: str) -> PackagedFile:
        return PackagedFile(
            path=f"files/{name}", source=folder.path / name, digest=folder.files.get(name)
        )

    return Embedder(
        name=EMBEDDER_NAME,
        facts=folder.embedder,
        transformer=packaged(MODEL_FILE),
        tokenizer=packaged(TOKENIZER_FILE),
    )


def published_embedder(
    facts: EmbedderSpec, *, transformer: RemoteFile, tokenizer: RemoteFile
) -> Embedder:
    """Return an embedder whose two files Vespa downloads."""
    return Embedder(name=EMBEDDER_NAME, facts=facts, transformer=transformer, tokenizer=tokenizer)


def application_spec(embedder: Embedder, options: AppOptions) -> ApplicationSpec:
    """Return the application that the choices ask for, put together from all variants' parts.

    Args:
        embedder: From ``folder_embedder`` or ``published_embedder``.
        options: The choices.

    Raises:
        SpecError: With every fault found, if the choices do not fit the model or Vespa.
    """
    design = Design(options=options, embedder=embedder)
    if faults := tuple(_faults(design)):
        raise SpecError("the application cannot be made for this model", faults)
    parts = [variant(design) for variant in VARIANTS]
    return ApplicationSpec(
        name=options.name,
        schemas=(_schema(options.schema, parts),),
        mode=options.mode,
        components=tuple(each for part in parts for each in part.components),
        models=tuple(each for part in parts for each in part.files),
        queries=tuple(each for part in parts for each in part.queries),
        fed=tuple(each for part in parts for each in part.fed),
        since=design.since,
        query_profiles=options.query_profiles,
        nodes=options.nodes,
        cloud=options.cloud,
        minimum_vespa_version=options.minimum_vespa_version,
    )


def _faults(design: Design) -> Iterator[str]:
    """Yield choices that fit neither the model nor Vespa."""
    options, dim = design.options, design.facts.dim
    embedder = design.embedder
    yield from named(f"component {embedder.name[:80]!r}", *embedder.faults())
    if len(set(options.cell_types)) < len(options.cell_types):
        yield f"cell types: expected each at most once, got {options.cell_types}"
    yield from () if options.cell_types else _residuals_alone_faults(options)
    if len(set(options.dims)) < len(options.dims) or not all(0 < n <= dim for n in options.dims):
        yield f"dims: expected numbers from 1 to the model's {dim}, each once, got {options.dims}"
        return
    yield from named("chunk length", "" if options.chunk_length > 0 else "expected 1 or more")
    yield from bm25_faults(options)
    yield from _combination_faults(options)
    for faults in (
        residual_faults,
        dense_faults,
        lexical_faults,
        hybrid_faults,
        cross_encode_faults,
    ):
        yield from faults(design)
    for cell_type in options.cell_types:
        if cell_type not in COMPONENTS_A_CELL:
            yield f"cell types: expected float, bfloat16 or int8, got {cell_type}"
            continue
        for stored in options.dims or (dim,):
            if stored % COMPONENTS_A_CELL[cell_type]:
                yield f"cell type int8 needs a dim divisible by 8, got {stored}"


def _residuals_alone_faults(options: AppOptions) -> Iterator[str]:
    """Yield what is asked of fields of token vectors where there are none of any cell type."""
    if options.residual is None:
        yield "cell types: expected at least one, each at most once, or residuals; got ()"
        return
    asked = {
        "dims": options.dims,
        "token retrieval": options.token_retrieval,
        "fusion": options.fusion,
        "cross-encoder": options.cross_encoding,
    }
    for name in (name for name, chosen in asked.items() if chosen):
        yield f"{name}: expected token vectors of some cell type to work on, got residuals alone"


def _combination_faults(options: AppOptions) -> Iterator[str]:
    """Yield choices that Vespa cannot have together.

    Source: the limits of HNSW indexes, of ``paged`` and of streaming mode, Vespa 8.700.24.
    """
    if (retrieval := options.token_retrieval) is not None:
        numbers = retrieval.max_links, retrieval.neighbors_to_explore, retrieval.target_hits
        if min(numbers) < 1:
            yield f"token retrieval: expected numbers of 1 or more, got {numbers}"
        if options.layout != "passage":
            yield f"token retrieval: a graph takes one text a document, not {options.layout}"
        if options.storage == "paged":
            yield "token retrieval: a graph cannot be paged; choose memory or fast-rank"
        if options.mode == "streaming":
            yield "token retrieval: streaming mode has no graphs"
    if options.mode == "streaming" and options.storage != "memory":
        yield f"streaming mode keeps nothing in memory, {options.storage} means nothing there"


def read_embedder_facts(path: Path) -> EmbedderSpec:
    """Return an embedder's facts from a JSON file.

    Args:
        path: The ``embedder.json`` of a model folder, or any JSON file with a member ``embedder``
            like the one there, for a model that is published elsewhere.

    Raises:
        SpecError: If the file cannot be read, or a fact is missing or not known.
    """
    return read_facts(path, "embedder", EmbedderSpec)


def _schema(name: str, parts: list[Part]) -> Schema:
    """Return the schema that all parts make together.

    Raises:
        SpecError: With every fault found.
    """
    every = tuple(field for part in parts for field in part.fields)
    shown = tuple(each.name for each in every if each.is_shown)
    searched = tuple(each.name for each in every if "enable-bm25" in each.index)
    return Schema(
        name=name,
        fields=every,
        fieldsets=(FieldSet(name="default", fields=searched),),
        summaries=(DocumentSummary(name="texts", fields=shown),),
        constants=tuple(each for part in parts for each in part.constants),
        onnx_models=tuple(model for part in parts for model in part.onnx_models),
        rank_profiles=tuple(profile for part in parts for profile in part.profiles),
    )
