"""Checks of fields: who fills them, from what, and how they are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vespa_colbert.app.field import Field
from vespa_colbert.app.schema import Schema
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.validate.findings import Fault, Place
from vespa_colbert.validate.package import COLBERT, Package
from vespa_colbert.validate.services import Component

__all__ = [
    "cut_vectors",
    "embedder_not_there",
    "hnsw_in_streaming",
    "int8_queries",
    "paged_hnsw",
    "pooled_by_nobody",
    "unfilled_fields",
    "vectors_too_narrow",
]

QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
EMBED = re.compile(r"\bembed\b(?:\s+(?P<name>[A-Za-z_][\w-]*))?")
SOURCES = re.compile(r"\b(input|now|random|hostname|get_var|zcurve|guard|split|this)\b")


def _statements(field: Field) -> str:
    return " ; ".join(QUOTED.sub('""', each) for each in field.indexing)


def _fields(package: Package) -> Iterator[tuple[Schema, Field, Place]]:
    """Yield the fields that schemas state, each where it stands."""
    for schema in package.application.schemas:
        for field in schema.fields:
            yield schema, field, package.places.of("field", schema.name, field.name)


def unfilled_fields(package: Package) -> Iterator[Fault]:
    """Yield fields outside the document that nothing is put into."""
    for schema, field, place in _fields(package):
        if field.in_document or not field.indexing or field.is_attribute is field.is_index is False:
            continue
        text = _statements(field)
        if not SOURCES.search(text) and not text.lstrip().startswith(('"', *"0123456789(")):
            yield Fault(
                place=place,
                reason=f"field {field.name} stands outside the document of schema {schema.name} "
                "and its indexing reads no field: nothing fills it",
                remedy="begin its indexing with input and a field, or move it into the document",
            )


def embedder_not_there(package: Package) -> Iterator[Fault]:
    """Yield statements and queries that embed with an embedder that no container has."""
    if package.services is None or package.services.includes:
        return
    known = {each.name for each in package.services.components}
    for _schema, field, place in _fields(package):
        for found in EMBED.finditer(_statements(field)):
            if reason := _embedder_fault(found["name"] or "", known):
                yield Fault(place=place, reason=f"field {field.name}: {reason}", remedy=_ADD)
    for each in package.queries.given:
        reason = _embedder_fault(each.embedder, known) if each.is_embedded else ""
        if reason:
            yield Fault(place=each.place, reason=f"query({each.name}): {reason}", remedy=_ADD)


_ADD = "add the component to services.xml, or name one that is there"


def _embedder_fault(name: str, known: set[str]) -> str:
    if name and name not in known:
        return f"embed {name}: services.xml has no component of that id"
    return "" if name or known else "embed: services.xml has no component that embeds"


def _embedder_of(package: Package, name: str) -> Component | None:
    """Return the embedder of an id; the only one for none."""
    found = [each for each in package.embedders if name in {"", each.name}]
    return found[0] if len(found) == 1 else None


def _targets(package: Package) -> Iterator[tuple[Component, TensorType, str, Place, int]]:
    """Yield embedder, type, name and place of what it fills, and the width of its vectors.

    An input that several query profiles give to several rank profiles is there once.
    """
    for _schema, field, place in _fields(package):
        names = [each["name"] or "" for each in EMBED.finditer(_statements(field))]
        if (kind := field.tensor_type) is None or len(names) != 1:
            continue
        yield from _target(package, names[0], kind, f"field {field.name}", place)
    seen = set()
    for each in package.queries.given:
        for profile in package.profiles:
            given = profile.spec.input_types.get(each.name) if each.is_embedded else None
            if given is not None and (key := (each.embedder, each.name, given)) not in seen:
                seen.add(key)
                what = f"query({each.name}) of {profile.where}"
                yield from _target(package, each.embedder, given, what, each.place)


def _target(
    package: Package, name: str, kind: TensorType, what: str, place: Place
) -> Iterator[tuple[Component, TensorType, str, Place, int]]:
    embedder = _embedder_of(package, name)
    model = package.model_of(embedder) if embedder is not None else None
    if embedder is None or model is None or not kind.indexed:
        return
    default = "contextual" if embedder.kind == COLBERT else "last_hidden_state"
    width = model.width(embedder.text("transformer-output", default))
    if width is not None:
        yield embedder, kind, what, place, width


def pooled_by_nobody(package: Package) -> Iterator[Fault]:
    """Yield fields of token vectors that are to be pooled and that Vespa's own embedder fills.

    Source: ColBertEmbedder.embed, Vespa 8.700.24, makes a vector of each token that it keeps.
    """
    for _schema, field, place in _fields(package) if package.pooling.is_active else ():
        for found in EMBED.finditer(_statements(field)):
            embedder = _embedder_of(package, found["name"] or "")
            if embedder is not None and embedder.kind == COLBERT:
                yield Fault(
                    place=place,
                    reason=f"field {field.name}: embedder {embedder.name} fills it inside Vespa, "
                    f"which does not pool; token vectors are to be pooled ({package.pooling}): "
                    "documents would keep every vector",
                    remedy='generate the package with embeddings = "client" under [tokens], or '
                    "set pool-factor = 1 under [index]",
                )


def _components(kind: TensorType) -> int:
    """Return how many components of a vector a type holds."""
    return kind.shape[-1] * (8 if kind.cell_type is CellType.INT8 else 1)


def vectors_too_narrow(package: Package) -> Iterator[Fault]:
    """Yield tensors that are wider than the vectors that the embedder's model gives."""
    for embedder, kind, what, place, width in _targets(package):
        if (wanted := _components(kind)) > width:
            yield Fault(
                place=place,
                reason=f"{what}: {kind} holds {wanted} components, embedder {embedder.name}'s "
                f"model gives {width}: feeding or querying fails",
                remedy=f"make it {_with_last(kind, width)}",
            )


def cut_vectors(package: Package) -> Iterator[Fault]:
    """Yield tensors that hold a part of what the embedder's model gives, which Vespa cuts silently.

    A hugging-face-embedder normalises what it has cut; a colbert-embedder does not.
    """
    for embedder, kind, what, place, width in _targets(package):
        if embedder.kind == COLBERT and (held := _components(kind)) < width:
            yield Fault(
                place=place,
                reason=f"{what}: {kind} holds the first {held} of {width} components that embedder "
                f"{embedder.name}'s model gives: vectors are cut, not re-normalised",
                remedy=f"make it {_with_last(kind, width)}, unless the model was trained for it",
            )


def _with_last(kind: TensorType, width: int) -> str:
    """Return the type with room for a vector's components, as a text."""
    size = width // 8 if kind.cell_type is CellType.INT8 else width
    name = kind.indexed[-1]
    return str(kind).replace(f"{name}[{kind.shape[-1]}]", f"{name}[{size}]")


def int8_queries(package: Package) -> Iterator[Fault]:
    """Yield queries that a colbert-embedder is to embed into int8, which it refuses."""
    for given in package.queries.given:
        embedder = _embedder_of(package, given.embedder) if given.is_embedded else None
        if embedder is None or embedder.kind != COLBERT:
            continue
        for profile in package.profiles:
            kind = profile.spec.input_types.get(given.name)
            if kind is not None and kind.cell_type is CellType.INT8 and not kind.is_number:
                yield Fault(
                    place=given.place,
                    reason=f"query({given.name}) is {kind} in {profile.where}, and a "
                    "colbert-embedder refuses int8 for queries",
                    remedy="declare it with cells of float; the documents may stay int8",
                )


def hnsw_in_streaming(package: Package) -> Iterator[Fault]:
    """Yield HNSW indexes of streaming schemas, which have no index."""
    for schema, field, place in _fields(package):
        mode = package.services.mode(schema.name) if package.services else "index"
        if field.has_graph and mode == "streaming":
            yield Fault(
                place=place,
                reason=f"field {field.name}: schema {schema.name} is streaming, where Vespa leaves "
                "the HNSW index out: nearestNeighbor is exact",
                remedy="leave hnsw out, or index the schema",
            )


def paged_hnsw(package: Package) -> Iterator[Fault]:
    """Yield HNSW indexes over vectors that are paged in from disk."""
    for _schema, field, place in _fields(package):
        if field.has_graph and "paged" in field.attribute:
            yield Fault(
                place=place,
                reason=f"field {field.name}: paged vectors below an HNSW index are read from disk "
                "at random for every query and every document fed",
                remedy="leave paged or hnsw out",
            )
