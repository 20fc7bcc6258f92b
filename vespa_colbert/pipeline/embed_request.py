"""What is to be embedded, and what an index remembers of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vespa_colbert.app import Schema
from vespa_colbert.embedder import Runtime
from vespa_colbert.embedder.pooling import UNPOOLED, TokenPooling
from vespa_colbert.errors import SpecError
from vespa_colbert.export import ModelFolder
from vespa_colbert.index import CodedField, embedded_fields, tensor_fields
from vespa_colbert.index.manifest import FieldKind
from vespa_colbert.index.store import field_kinds
from vespa_colbert.pipeline.packaged_codec import codec_origin, holds_residuals_alone

__all__ = ["EmbedRequest", "OnError", "index_origin", "require_fed", "schema_origin"]

SKIPPED = ".skipped.jsonl"

OnError = Literal["fail", "skip"]
"""What becomes of a line that cannot be embedded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """What is to be embedded.

    Attributes:
        corpus: JSON lines with ``_id``, ``title`` and ``text``.
        model: The model folder.
        schema: Its tensor fields say what is embedded and how it is stored.
        output: The index folder.
        threads: How many texts go through the model at a time; 0 for one a processor.
        on_error: Whether a bad line ends it, or is passed over and reported.
        pooling: How many vectors of a document are left.
        runtime: What computes the vectors.
        coded: The field of residuals, where these are kept in place of vectors.

    Raises:
        SpecError: If vectors are pooled that Vespa itself makes, which it cannot pool; or documents
            hold residuals alone and no codec is named.
    """

    corpus: Path
    model: ModelFolder
    schema: Schema
    output: Path
    threads: int = 0
    on_error: OnError = "fail"
    pooling: TokenPooling = UNPOOLED
    runtime: Runtime = "onnxruntime"
    coded: CodedField | None = None

    def __post_init__(self) -> None:
        require_one_embedder(self.schema)
        if self.coded is None and holds_residuals_alone(self.schema):
            raise SpecError(
                f"schema {self.schema.name}: its documents hold residuals alone; name their codec "
                "with --codec, or make them of an index of vectors: vespa-colbert compress"
            )
        if self.pooling.is_active and self.coded is None:
            require_fed(self.schema)

    @property
    def origin(self) -> dict[str, str]:
        """What an index is made with, whatever the corpus."""
        stated = index_origin(self.model, self.schema)
        codec = {} if self.coded is None else codec_origin(self.coded.codec)
        return {**stated, "pooling": str(self.pooling), "runtime": self.runtime, **codec}

    @property
    def kinds(self) -> dict[str, FieldKind]:
        """The fields of the index."""
        if self.coded is None:
            return field_kinds(self.schema)
        return {self.coded.name: self.coded.kind}

    @property
    def left_out(self) -> tuple[str, ...]:
        """The fields that are embedded and hold no token vectors: no index has them."""
        known = embedded_fields(self.schema).items()
        return tuple(name for name, each in known if not each.holds_tokens)

    @property
    def report(self) -> Path:
        """The file of the lines that were passed over."""
        return self.output.with_name(f"{self.output.name}{SKIPPED}")


def index_origin(model: ModelFolder, schema: Schema) -> dict[str, str]:
    """Return what an index must have been made with to fit a model and a schema.

    The schema counts by its tensor fields alone: a changed rank expression needs no new index.
    """
    facts, said = json.dumps(asdict(model.embedder), sort_keys=True), schema_origin(schema)
    return {
        "dim": str(model.embedder.dim),
        "types": said["types"],
        "model": model.checksum,
        "tokenizer": model.files[model.tokenizer_path.name].sha256,
        "embedder": hashlib.sha256(facts.encode()).hexdigest(),
        "fields": said["fields"],
    }


def schema_origin(schema: Schema) -> dict[str, str]:
    """Return what an index must have been made with to fit a schema: its tensor fields."""
    fields = json.dumps(
        [[each.name, each.type, *each.indexing] for each in tensor_fields(schema)], sort_keys=True
    )
    kinds = ", ".join(f"{each.name} {each.type}" for each in tensor_fields(schema))
    return {"types": kinds, "fields": hashlib.sha256(fields.encode()).hexdigest()}


def require_one_embedder(schema: Schema) -> None:
    """Return nothing if one embedder fills all fields of token vectors: one model is at hand.

    Raises:
        SpecError: If there are several, as beside each other on the way to another model.
    """
    filled: dict[str, list[str]] = {}
    for name, each in embedded_fields(schema).items():
        if each.holds_tokens and each.statement.component:
            filled.setdefault(each.statement.component, []).append(name)
    if len(filled) > 1:
        found = "; ".join(f"{name} fills {', '.join(fields)}" for name, fields in filled.items())
        raise SpecError(
            f"schema {schema.name}: expected one embedder of token vectors, got {found}; what one "
            "model makes would stand in the fields of another: embed with an application that has "
            "one of them"
        )


def require_fed(schema: Schema, names: Collection[str] | None = None) -> None:
    """Return nothing if token vectors are fed, so that they may be pooled.

    Args:
        schema: The schema.
        names: The fields that count; all of them where none are given.

    Raises:
        SpecError: If a field is filled by Vespa's own embedder, which cannot pool.
    """
    for name, each in embedded_fields(schema).items():
        is_meant = each.holds_tokens and (names is None or name in names)
        if is_meant and not schema.field(name).in_document:
            raise SpecError(
                f"schema {schema.name}, field {name}: Vespa's own embedder fills it and cannot "
                "pool, so that what it serves would not be what is here; generate the application "
                'with embeddings = "client" under [tokens], and feed the vectors'
            )
