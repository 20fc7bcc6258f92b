"""What the parts of a schema beside ranking say, as values: fields, fieldsets, summaries."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.tensor import TensorType

__all__ = ["DocumentSummary", "Field", "FieldSet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of the document, or one that Vespa derives from its fields.

    Attributes:
        name: An identifier that Vespa does not keep for itself.
        type: Vespa's name of the type: ``string``, ``array<string>``, ``tensor<int8>(dt{},x[16])``.
        indexing: Statements of the indexing language, in order.
        index: Settings of the index: ``enable-bm25``, ``arity: 8``.
        attribute: Settings of the attribute: ``fast-search``, ``distance-metric: hamming``.
        match: Settings of matching: ``gram``, ``gram-size: 3``.
        stemming: Vespa's word, or empty for its default.
        normalizing: Vespa's word, or empty for its default.
        in_document: Whether it is fed, or derived by its indexing statements.
    """

    name: str
    type: str
    indexing: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    attribute: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    stemming: str = ""
    normalizing: str = ""
    in_document: bool = True

    @property
    def tensor_type(self) -> TensorType | None:
        """The type as a tensor type, or ``None`` for a field that holds no tensor."""
        is_tensor = self.type.startswith(("tensor<", "tensor("))
        return TensorType.parse(self.type) if is_tensor else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSet:
    """Fields that a query searches together.

    Attributes:
        name: An identifier; ``default`` is what a query searches when it names none.
        fields: Names of fields.
    """

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSummary:
    """Fields that a hit carries when a query asks for this summary.

    Attributes:
        name: An identifier, dashes allowed.
        fields: Names of the summary's fields.
        inherits: Summaries whose fields it has too.
        from_disk: Whether it is stated that fields are fetched from disk.
    """

    name: str
    fields: tuple[str, ...]
    inherits: tuple[str, ...] = ()
    from_disk: bool = False
