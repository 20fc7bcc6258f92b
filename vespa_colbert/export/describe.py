"""Facts of a checkpoint as reports and services.xml want them. Needs neither torch nor onnx."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vespa_colbert.checkpoint import Checkpoint, Marker
from vespa_colbert.errors import ExportError
from vespa_colbert.export.differences import Difference, Subject, points_of
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
    bare = None in {checkpoint.start_id, checkpoint.end_id}
    packaging: Packaging = "exact" if bare or markers == {True} else "native"
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
        packaging: What reads the windows: an exact graph takes start token, marker and end token
            out again where the model has none, so that its windows are longer than the library's.
        dims: Components that are left of a token vector; None for all.

    Raises:
        ExportError: If the checkpoint has no start token, no marker or no end token and the graph
            is native: the embedder always inserts all three.

    Source: col-bert-embedder.def and ColBertEmbedder.buildTransformerInput, Vespa 8.700.24.
    """
    query, document = checkpoint.query_marker, checkpoint.document_marker
    ends = (checkpoint.start_id, checkpoint.end_id)
    if packaging == "exact":
        query_id, document_id = role_ids(checkpoint)
    elif query is not None and document is not None and None not in ends:
        query_id, document_id = query.id, document.id
    else:
        raise ExportError(
            f"{checkpoint.path}: expected a start token, a query and a document marker and an end "
            f"token, got a model without {_absent(checkpoint)}: Vespa's colbert-embedder always "
            "inserts them; export with packaging exact"
        )
    inserted = sum(each is None for each in (query, *ends))
    # Any id of the vocabulary stands for a token that the graph takes out again.
    start_id, end_id = (checkpoint.pad_id if each is None else each for each in ends)
    return EmbedderSpec(
        dim=dims or checkpoint.dim,
        start_id=start_id,
        end_id=end_id,
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

    What shows only when the tokenizer runs is not among it.

    Source: ColBertEmbedder, Vespa 8.700.24, against ColBERT.encode, PyLate 1.4.0.
    """
    subject = Subject(checkpoint=checkpoint)
    return tuple(point.difference(subject) for point in points_of(subject, "native"))


def _absent(checkpoint: Checkpoint) -> str:
    """Return which of the tokens that Vespa's embedder inserts a model does not have."""
    tokens = {
        "start token": checkpoint.start_id,
        "query marker": checkpoint.query_marker,
        "document marker": checkpoint.document_marker,
        "end token": checkpoint.end_id,
    }
    return ", ".join(name for name, token in tokens.items() if token is None)


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
        "marker_second": checkpoint.marker_second,
        **({"cuts": list(checkpoint.cuts)} if checkpoint.cuts else {}),
    }


def _marker(marker: Marker | None) -> dict[str, Any] | None:
    return None if marker is None else asdict(marker)
