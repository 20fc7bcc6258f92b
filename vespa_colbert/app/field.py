"""What the parts of a schema beside ranking say, as values: fields, fieldsets, summaries."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vespa_colbert.app.sent import document_example
from vespa_colbert.tensor import TensorType

__all__ = [
    "DocumentSummary",
    "Field",
    "FieldSet",
    "ImportedField",
    "NamedSettings",
    "Struct",
    "StructField",
]

WORD = re.compile(r"\"[^\"]*\"|'[^']*'|[\w-]+")
"""A word of an indexing statement, or a quoted text."""

NAMED = re.compile(r"\bembed\b[\w -]*")
"""What embeds, with the component that it names: that may be called ``summary`` too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSettings:
    """Settings of an index or attribute that has a name of its own.

    Attributes:
        name: Name of the index or attribute.
        settings: As in a field of that name.
    """

    name: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StructField:
    """What a field says of a part of its elements.

    Attributes:
        name: Name of the part: a field of the struct, ``key``, ``value``, ``value.name``.
        indexing: Statements of the indexing language, in order.
        attribute: Settings of the attribute.
        match: Settings of matching.
        rank: ``filter``, ``literal`` or ``normal``.
        struct_fields: Parts of the part.
    """

    name: str
    indexing: tuple[str, ...] = ()
    attribute: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    rank: tuple[str, ...] = ()
    struct_fields: tuple[StructField, ...] = ()


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
        rank: ``filter``, ``literal`` or ``normal``.
        rank_types: Name of an index, empty for the field's own → Vespa's word for its tables.
        weight: Weight in nativeRank and its relatives; ``None`` for Vespa's 100.
        linguistics: Side (``index`` or ``search``) → profile that makes its tokens.
        other_indexes: Indexes of another name that the field is in.
        other_attributes: Attributes of another name that hold the field.
        struct_fields: What is said of the parts of its elements.
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
    rank: tuple[str, ...] = ()
    rank_types: tuple[tuple[str, str], ...] = ()
    weight: int | None = None
    linguistics: tuple[tuple[str, str], ...] = ()
    other_indexes: tuple[NamedSettings, ...] = ()
    other_attributes: tuple[NamedSettings, ...] = ()
    struct_fields: tuple[StructField, ...] = ()

    @property
    def tensor_type(self) -> TensorType | None:
        """The type as a tensor type, or ``None`` for a field that holds no tensor."""
        is_tensor = self.type.startswith(("tensor<", "tensor("))
        return TensorType.parse(self.type) if is_tensor else None

    @property
    def is_attribute(self) -> bool:
        """Whether an indexing statement puts it into an attribute."""
        return "attribute" in self._words

    @property
    def is_index(self) -> bool:
        """Whether an indexing statement puts it into an index."""
        return "index" in self._words

    @property
    def example(self) -> str:
        """A value of the document's JSON, as a reader may fill it in."""
        if self.tensor_type is not None:
            return document_example(self.tensor_type)
        return '["..."]' if self.type.startswith("array<") else '"..."'

    @property
    def is_shown(self) -> bool:
        """Whether an indexing statement puts it into what hits carry."""
        return "summary" in self._words

    @property
    def has_graph(self) -> bool:
        """Whether nearest neighbours are found by a graph (HNSW)."""
        return any(setting.split()[0] == "hnsw" for setting in self.index)

    @property
    def is_filter(self) -> bool:
        """Whether its terms are matched without information for ranking.

        Source: ExactMatch.exactMatchSettingsForField and FilterFieldNames, Vespa 8.700.24.
        """
        return "filter" in self.rank or ("exact" in self.match and "index" in self._words)

    @property
    def _words(self) -> set[str]:
        statements = (NAMED.sub("", statement) for statement in self.indexing)
        return {word for statement in statements for word in WORD.findall(statement)}

    @property
    def referred(self) -> str:
        """Name of the document that a ``reference<…>`` field refers to, or empty."""
        return self.type[10:-1] if self.type.startswith("reference<") else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedField:
    """A field of another document, seen through a reference.

    Attributes:
        name: Its name here.
        reference: The reference field.
        field: Its name in the document that is referred to.
    """

    name: str
    reference: str
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """A type made of fields.

    Attributes:
        name: Name of the type.
        fields: Name → type of each field.
        inherits: Structs whose fields it has too.
    """

    name: str
    fields: tuple[tuple[str, str], ...]
    inherits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSet:
    """Fields that a query searches together.

    Attributes:
        name: An identifier; ``default`` is what a query searches when it names none.
        fields: Names of fields.
        match: How its terms are matched, as in a field.
    """

    name: str
    fields: tuple[str, ...]
    match: tuple[str, ...] = ()


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
