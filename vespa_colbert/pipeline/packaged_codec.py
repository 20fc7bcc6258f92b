"""The residual codec that a package holds, compared with the one that made codes.

A package has centroids as a constant in a file and the weights of buckets in its rank profiles. An
index of codes remembers the same of its own codec: the checksum of both, and the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app import Schema
from vespa_colbert.app.variants.residual import FIELD, FILE, RESIDUALS, residuals_expression
from vespa_colbert.codec import ResidualCodec
from vespa_colbert.codec.store import read_centroids
from vespa_colbert.errors import SpecError
from vespa_colbert.evaluate.derived_index import token_fields
from vespa_colbert.export import ModelFolder
from vespa_colbert.index.indexing import EmbedStatement, read_text_statement
from vespa_colbert.rank.language.parser import parse_expression

__all__ = [
    "codec_origin",
    "coded_statement",
    "holds_residuals_alone",
    "require_codec",
    "require_codec_of",
    "require_dim",
    "require_one_fed",
]

CODEC, DIM, WEIGHTS = "codec", "codec-dim", "codec-weights"
SHOWN = 12
"""Characters of a checksum that a message shows."""


def codec_origin(codec: ResidualCodec) -> dict[str, str]:
    """Return what an index remembers of the codec of its codes."""
    return {
        CODEC: _checksum(codec.centroids, codec.weights),
        DIM: str(codec.dim),
        WEIGHTS: json.dumps(codec.weights.tolist()),
    }


def _checksum(centroids: NDArray[np.float32], weights: NDArray[np.float32]) -> str:
    """Return the sha256 of what codes stand for: centroids, then weights, little endian."""
    digest = hashlib.sha256(np.ascontiguousarray(centroids, "<f4").tobytes())
    digest.update(np.ascontiguousarray(weights, "<f4").tobytes())
    return digest.hexdigest()


def require_codec(codec: ResidualCodec, where: str, application: Path, schema: Schema) -> None:
    """Return nothing if a package has the centroids and weights of a codec.

    Raises:
        SpecError: If it has others, or none.
    """
    require_codec_of(codec_origin(codec), where, application, schema)


def require_codec_of(
    origin: Mapping[str, str], where: str, application: Path | None, schema: Schema
) -> None:
    """Return nothing if a package has the codec that an index was made with, if it has codes.

    Args:
        origin: What the index was made with.
        where: What the codes are in, for the message.
        application: The package.
        schema: Its schema.

    Raises:
        SpecError: If it has another one, or none; or there are codes and no package is named.
    """
    if CODEC not in origin:
        return
    if application is None:
        raise SpecError(f"{where}: name the package whose codec made its residuals")
    said = [
        each.expression
        for profile in schema.rank_profiles
        for each in profile.functions
        if each.name == RESIDUALS
    ]
    weights, dim = np.array(json.loads(origin[WEIGHTS]), np.float32), int(origin[DIM])
    expected = parse_expression(residuals_expression(weights.tolist(), dim))
    theirs = f"{where} (codec {origin[CODEC]:.{SHOWN}}…)"
    if not said:
        raise SpecError(
            f"{application}: expected rank profiles that rebuild residuals, got none; generate it "
            f"under [tokens] residual with the codec of {theirs}"
        )
    if any(parse_expression(each) != expected for each in dict.fromkeys(said)):
        raise SpecError(
            f"{application}: its rank profiles have other weights than {theirs}; generate it with "
            "that codec under [tokens] residual"
        )
    found = _checksum(read_centroids(application / FILE, dim), weights)
    if found != origin[CODEC]:
        raise SpecError(
            f"{application}: {FILE} has other centroids (codec {found:.{SHOWN}}…) than {theirs}; "
            "generate it with that codec under [tokens] residual"
        )


def require_dim(codec: ResidualCodec, model: ModelFolder, where: str) -> None:
    """Return nothing if a model makes as many components as a codec codes, or more.

    Raises:
        SpecError: If it makes fewer.
    """
    if model.embedder.dim < codec.dim:
        raise SpecError(
            f"{where}: expected a model of {codec.dim} components or more, got {model.path} of "
            f"{model.embedder.dim}"
        )


def require_one_fed(schema: Schema) -> None:
    """Return nothing if residuals are the one tensor field that is fed.

    Raises:
        SpecError: If there are others, or none.
    """
    fed = [each.name for each in schema.document_fields if each.tensor_type is not None]
    if fed != [FIELD]:
        others = 'cell-types = [] under [app], or embeddings = "vespa" under [tokens]'
        remedy = others if FIELD in fed else "[tokens] residual"
        raise SpecError(
            f"schema {schema.name}: expected {FIELD} as the one tensor field that is fed, got "
            f"{', '.join(fed) or 'none'}; generate with {remedy}"
        )


def holds_residuals_alone(schema: Schema) -> bool:
    """Return whether documents hold residuals and no other token vectors."""
    has_residuals = any(each.name == FIELD for each in schema.document_fields)
    return has_residuals and not token_fields(schema)


def coded_statement(schema: Schema) -> EmbedStatement:
    """Return which text residuals are made of: that of the other fields, or what is said of theirs.

    Raises:
        SpecError: If nothing says it.
    """
    if others := token_fields(schema):
        return next(iter(others.values())).statement
    where = f"schema {schema.name}, field {FIELD}"
    for indexing in schema.field(FIELD).indexing:
        if (statement := read_text_statement(indexing, where)) is not None:
            return statement
    raise SpecError(
        f"{where}: expected a field that embeds beside it, or a package that says which text is "
        "meant, got none; generate the package again"
    )
