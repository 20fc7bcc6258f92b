"""Facts of a checkpoint as reports and services.xml want them. Needs neither torch nor onnx."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vespa_colbert.checkpoint import Checkpoint, Marker
from vespa_colbert.errors import ExportError
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.export.options import Packaging
from vespa_colbert.model import role_ids

__all__ = [
    "Description",
    "Difference",
    "describe_checkpoint",
    "embedder_spec",
    "native_differences",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A point in which Vespa's embedder does not do what the training library does.

    Attributes:
        point: What differs.
        library: What the training library does.
        vespa: What Vespa's embedder does with the plain graph.
        faithful: Whether scores are nevertheless those of the model, up to the context that a
            removed punctuation token gave to the others.
    """

    point: str
    library: str
    vespa: str
    faithful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What ``inspect`` shows of a checkpoint.

    Attributes:
        path: The folder.
        layout: Name of the layout that read it.
        encoder: Architecture, sizes and stored types.
        projection: A line of facts per layer.
        dim: Width of a token vector, in components.
        facts: Markers, ids, lengths, expansion, skip words.
        provenance: Name of a fact → where it comes from.
        embedder: The facts of the ``colbert-embedder`` element, for an exact graph if the model has
            no markers; None if it has one marker only, which nothing can express.
        differences: Where Vespa's embedder differs from the library.
        warnings: What the reader of the checkpoint noted.
    """

    path: str
    layout: str
    encoder: dict[str, Any]
    projection: tuple[dict[str, Any], ...]
    dim: int
    facts: dict[str, Any]
    provenance: dict[str, str]
    embedder: EmbedderSpec | None
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]


def describe_checkpoint(checkpoint: Checkpoint) -> Description:
    """Return all that is known of a checkpoint, as plain data."""
    encoder = checkpoint.encoder
    markers = {checkpoint.query_marker is None, checkpoint.document_marker is None}
    packaging: Packaging = "exact" if markers == {True} else "native"
    return Description(
        path=str(checkpoint.path),
        layout=checkpoint.layout,
        encoder={
            "model_type": encoder.model_type,
            "hidden_size": encoder.hidden_size,
            "vocabulary_size": encoder.vocabulary_size,
            "positions": encoder.positions,
            "dtypes": list(encoder.dtypes),
            "tensors": len(encoder.weights),
        },
        projection=tuple(
            {
                "in_features": layer.in_features,
                "out_features": layer.out_features,
                "bias": layer.bias is not None,
                "activation": layer.activation,
                "residual": layer.residual,
            }
            for layer in checkpoint.projection
        ),
        dim=checkpoint.dim,
        facts=_facts(checkpoint),
        provenance=dict(checkpoint.provenance),
        embedder=embedder_spec(checkpoint, packaging=packaging) if len(markers) == 1 else None,
        differences=native_differences(checkpoint),
        warnings=checkpoint.warnings,
    )


def embedder_spec(
    checkpoint: Checkpoint,
    *,
    packaging: Packaging = "native",
    dims: int | None = None,
) -> EmbedderSpec:
    """Return what Vespa's embedder must be told so that it makes the library's token windows.

    Args:
        checkpoint: The model.
        packaging: What reads the windows: an exact graph takes the marker of a model without one
            out again, so that its windows are one token longer than the library's.
        dims: Components that are left of a token vector; None for all.

    Raises:
        ExportError: If the checkpoint has no marker and the graph is native: the embedder always
            inserts one.

    Source: col-bert-embedder.def and ColBertEmbedder.buildTransformerInput, Vespa 8.700.24.
    """
    query, document = checkpoint.query_marker, checkpoint.document_marker
    has_markers = query is not None and document is not None
    if packaging == "exact":
        query_id, document_id = role_ids(checkpoint)
    elif query is not None and document is not None:
        query_id, document_id = query.id, document.id
    else:
        raise ExportError(
            f"{checkpoint.path}: expected a query and a document marker, got a model without: "
            "Vespa's colbert-embedder always inserts one; export with packaging exact"
        )
    inserted = 0 if has_markers else 1
    return EmbedderSpec(
        dim=dims or checkpoint.dim,
        start_id=checkpoint.start_id,
        end_id=checkpoint.end_id,
        mask_id=checkpoint.mask_id,
        pad_id=checkpoint.pad_id,
        query_marker_id=query_id,
        document_marker_id=document_id,
        max_query_tokens=checkpoint.max_query_tokens + inserted,
        max_document_tokens=checkpoint.max_document_tokens + inserted,
        max_tokens=checkpoint.encoder.positions + inserted,
        expansion_emitted=checkpoint.query_expansion,
    )


def native_differences(checkpoint: Checkpoint) -> tuple[Difference, ...]:
    """Return where Vespa's embedder, given the plain graph, differs from the library.

    Source: ColBertEmbedder, Vespa 8.700.24, against ColBERT.encode, PyLate 1.4.0.
    """
    return tuple(_differences(checkpoint))


def _differences(checkpoint: Checkpoint) -> Iterator[Difference]:
    if checkpoint.query_marker is None or checkpoint.document_marker is None:
        yield Difference(
            point="marker", library="none", vespa="always inserted after the start", faithful=False
        )
    if checkpoint.expansion_attended:
        yield Difference(
            point="attention to expansion tokens",
            library="the query's tokens attend to them",
            vespa="never",
            faithful=False,
        )
    yield from _punctuation(checkpoint)
    yield from _rows_and_score(checkpoint)
    if checkpoint.lower_case and not checkpoint.tokenizer.lower_cases:
        yield Difference(
            point="lower-casing",
            library="before the tokenizer",
            vespa="only what tokenizer.json does, which keeps case",
            faithful=False,
        )


def _rows_and_score(checkpoint: Checkpoint) -> Iterator[Difference]:
    if checkpoint.skip_queries:
        yield Difference(
            point="skip words in queries",
            library="their rows are left out of queries too",
            vespa="every row of a query counts",
            faithful=False,
        )
    if checkpoint.start_row_dropped:
        yield Difference(
            point="row of the start token",
            library="no token vector",
            vespa="a token vector like the others",
            faithful=False,
        )
    if checkpoint.mean_score:
        yield Difference(
            point="score",
            library="mean over the query's token vectors",
            vespa="their sum, in the profiles printed here",
            faithful=False,
        )
    if checkpoint.strip and not checkpoint.tokenizer.ignores_outer_space:
        yield Difference(
            point="white space around a text",
            library="stripped before the tokenizer",
            vespa="part of the text, which changes the first or last tokens",
            faithful=False,
        )


def _punctuation(checkpoint: Checkpoint) -> Iterator[Difference]:
    vespa = "left out of documents before encoding, so that their neighbours' context changes"
    if sorted(checkpoint.skip_words) == sorted(string.punctuation):
        yield Difference(
            point="punctuation",
            library="encoded, its rows left out of documents after",
            vespa=vespa,
            faithful=True,
        )
    else:
        words = " ".join(checkpoint.skip_words) or "none"
        yield Difference(
            point="punctuation",
            library=f"rows left out of documents: {words}",
            vespa=f"the 32 ASCII punctuation characters are {vespa}",
            faithful=False,
        )


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "query_marker": _marker(checkpoint.query_marker),
        "document_marker": _marker(checkpoint.document_marker),
        "start_id": checkpoint.start_id,
        "end_id": checkpoint.end_id,
        "mask_id": checkpoint.mask_id,
        "pad_id": checkpoint.pad_id,
        "max_query_tokens": checkpoint.max_query_tokens,
        "max_document_tokens": checkpoint.max_document_tokens,
        "query_expansion": checkpoint.query_expansion,
        "expansion_attended": checkpoint.expansion_attended,
        "skip_words": list(checkpoint.skip_words),
        "lower_case": checkpoint.lower_case,
        "strip": checkpoint.strip,
        "skip_queries": checkpoint.skip_queries,
        "start_row_dropped": checkpoint.start_row_dropped,
        "mean_score": checkpoint.mean_score,
    }


def _marker(marker: Marker | None) -> dict[str, Any] | None:
    return None if marker is None else asdict(marker)
