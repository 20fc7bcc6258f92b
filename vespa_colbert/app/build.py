"""Every decision about the application package for single passages: facts and options → spec."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from vespa_colbert.app.application import (
    MINIMUM_VESPA_VERSION,
    ApplicationSpec,
    Embedder,
    PackagedFile,
    RemoteFile,
    embedder_faults,
)
from vespa_colbert.app.field import DocumentSummary, Field, FieldSet
from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
)
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = [
    "EMBEDDER_NAME",
    "AppOptions",
    "application_spec",
    "field_name",
    "folder_embedder",
    "published_embedder",
    "read_embedder_facts",
]

EMBEDDER_NAME = "colbert"
BM25 = "bm25(title) + bm25(text)"
MAX_SIM = "max_sim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """How token vectors are stored with one cell type.

    Attributes:
        components: Components of a token vector that one cell holds.
        vectors: The expression that gives them back as numbers.
    """

    components: int
    vectors: str


STORED = {
    CellType.FLOAT: Cells(components=1, vectors="attribute({field})"),
    CellType.BFLOAT16: Cells(components=1, vectors="attribute({field})"),
    CellType.INT8: Cells(components=8, vectors="unpack_bits(attribute({field}))"),
}
"""The cell types that Vespa's embedder can fill. Source: ColBertEmbedder, Vespa 8.700.24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What one may choose about the package: the table ``[app]`` of a recipe.

    Attributes:
        name: Id of the content cluster and namespace of document ids.
        schema: Name of the schema and of the document type.
        cell_types: One tensor field and two rank profiles each.
        rerank_count: Hits that the second phase ranks again, on each content node.
        embed_title: Whether the title stands before the text that is embedded.
        minimum_vespa_version: Lowest release to accept.
    """

    name: str = "passages"
    schema: str = "passage"
    cell_types: tuple[CellType, ...] = (CellType.FLOAT, CellType.INT8)
    rerank_count: int = 100
    embed_title: bool = True
    minimum_vespa_version: str = MINIMUM_VESPA_VERSION


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
    facts: EmbedderSpec, *, transformer_url: str, tokenizer_url: str
) -> Embedder:
    """Return an embedder whose two files Vespa downloads."""
    return Embedder(
        name=EMBEDDER_NAME,
        facts=facts,
        transformer=RemoteFile(url=transformer_url),
        tokenizer=RemoteFile(url=tokenizer_url),
    )


def application_spec(embedder: Embedder, options: AppOptions) -> ApplicationSpec:
    """Return the application for single passages: bm25 and MaxSim over the chosen cell types.

    Args:
        embedder: From ``folder_embedder`` or ``published_embedder``.
        options: The choices.

    Raises:
        SpecError: With every fault found, if the choices do not fit the model or Vespa.
    """
    faults = [fault for fault in embedder_faults(embedder) if fault]
    if not options.cell_types or len(set(options.cell_types)) < len(options.cell_types):
        faults.append(f"cell types: expected each at most once, got {options.cell_types}")
    for cell_type in options.cell_types:
        if cell_type not in STORED:
            faults.append(f"cell types: expected float, bfloat16 or int8, got {cell_type}")
        elif not faults and embedder.facts.dim % STORED[cell_type].components:
            faults.append(f"cell type int8 needs a dim divisible by 8, got {embedder.facts.dim}")
    if faults:
        raise SpecError("the application cannot be made for this model", tuple(faults))
    return ApplicationSpec(
        name=options.name,
        schemas=(_schema(embedder, options),),
        embedders=(embedder,),
        minimum_vespa_version=options.minimum_vespa_version,
    )


def field_name(cell_type: CellType) -> str:
    """Return the name of the tensor field with such cells."""
    return f"{EMBEDDER_NAME}_{cell_type.value}"


def read_embedder_facts(path: Path) -> EmbedderSpec:
    """Return an embedder's facts from a JSON file.

    Args:
        path: The ``embedder.json`` of a model folder, or any JSON file with a member ``embedder``
            like the one there, for a model that is published elsewhere.

    Raises:
        SpecError: If the file cannot be read, or a fact is missing or not known.
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))["embedder"]
        names = {each.name for each in fields(EmbedderSpec)}
        missing, unknown = sorted(names - stated.keys()), sorted(stated.keys() - names)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{path}: expected JSON with the facts under 'embedder'") from error
    if missing or unknown:
        faults = [f"{name}: missing" for name in missing] + [f"{name}: unknown" for name in unknown]
        raise SpecError(f"{path}: not the facts of an embedder", tuple(faults))
    return EmbedderSpec(**stated)


def _schema(embedder: Embedder, options: AppOptions) -> Schema:
    """Return the schema of a passage.

    Raises:
        SpecError: With every fault found.
    """
    tensors = tuple(_tensor_field(embedder, cell_type, options) for cell_type in options.cell_types)
    profiles = (
        profile
        for cell_type in options.cell_types
        for profile in _max_sim_profiles(cell_type, embedder.facts.dim, options.rerank_count)
    )
    return Schema(
        name=options.schema,
        fields=(*_text_fields(), *tensors),
        fieldsets=(FieldSet(name="default", fields=("title", "text")),),
        summaries=(DocumentSummary(name="texts", fields=("id", "title", "text")),),
        rank_profiles=(RankProfile(name="bm25", first_phase=BM25), *profiles),
    )


def _text_fields() -> tuple[Field, ...]:
    """Return the fields that are fed."""
    identity = Field(name="id", type="string", indexing=("summary | attribute",))
    texts = (
        Field(name=name, type="string", indexing=("summary | index",), index=("enable-bm25",))
        for name in ("title", "text")
    )
    return (identity, *texts)


def _tensor_field(embedder: Embedder, cell_type: CellType, options: AppOptions) -> Field:
    """Return the field that holds a passage's token vectors."""
    source = (
        '(input title || "") . " " . (input text || "")' if options.embed_title else "input text"
    )
    width = embedder.facts.dim // STORED[cell_type].components
    stored = TensorType(cell_type, (Dimension("dt"), Dimension("x", width)))
    return Field(
        name=field_name(cell_type),
        type=str(stored),
        indexing=(f"{source} | embed {embedder.name} | attribute",),
        in_document=False,
    )


def _max_sim_profiles(
    cell_type: CellType, dim: int, rerank_count: int
) -> tuple[RankProfile, RankProfile]:
    """Return the profile that ranks all matches by MaxSim, and one that ranks the best again."""
    vectors = STORED[cell_type].vectors.format(field=field_name(cell_type))
    expression = f"sum(reduce(sum(query(qt) * {vectors}, x), max, dt), qt)"
    query_type = TensorType(CellType.FLOAT, (Dimension("qt"), Dimension("x", dim)))
    every = RankProfile(
        name=f"{MAX_SIM}_{cell_type.value}",
        inputs=(Input(name="qt", type=query_type),),
        functions=(Function(name=MAX_SIM, expression=expression),),
        first_phase=MAX_SIM,
        match_features=(MAX_SIM,),
    )
    again = RankProfile(
        name=f"rerank_{cell_type.value}",
        inherits=(every.name,),
        first_phase=BM25,
        second_phase=Rerank(expression=MAX_SIM, rerank_count=rerank_count),
        match_features=("bm25(title)", "bm25(text)", MAX_SIM),
    )
    return every, again
