"""A field or rank profile written again under another name, for another model: text to text.

The copy keeps what the reader's specs do not hold: comments, summaries, settings of a graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vespa_colbert.app.variants import COMPONENTS_A_CELL
from vespa_colbert.errors import SpecError
from vespa_colbert.tensor import Dimension, TensorType

__all__ = ["Renaming", "new_type", "speaks_of"]

TYPE = r"tensor\s*(?:<[^<>]*>)?\s*\([^()]*\)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """What becomes of names and widths.

    Attributes:
        embedder: Old and new id.
        fields: Old → new name.
        types: Old name of a field → its new type.
        profiles: Old → new name.
        widths: Dimension and its old size → its new one.
        others: Dimensions and sizes of tensor fields that stay as they are: types of vectors
            without labels that have one of these are theirs.
    """

    embedder: tuple[str, str]
    fields: Mapping[str, str]
    types: Mapping[str, TensorType]
    profiles: Mapping[str, str]
    widths: Mapping[tuple[str, int], int]
    others: frozenset[tuple[str, int]] = frozenset()

    def field(self, text: str, name: str) -> str:
        """Return the block of a field for the new model.

        Args:
            text: The block as it is.
            name: Name of the field.

        Raises:
            SpecError: If it does not start as a tensor field does, or embeds by no name.
        """
        head = re.compile(rf"\Afield(\s+){re.escape(name)}(\s+)type(\s+){TYPE}")
        found = f"field\\g<1>{self.fields[name]}\\g<2>type\\g<3>{self.types[name]}"
        text, times = head.subn(found, text)
        old, new = self.embedder
        text, named = re.subn(rf"(\bembed\s+){re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)
        if not times or not named:
            raise SpecError(f"field {name}: expected a tensor field that embeds with {old}")
        return text

    def profile(self, text: str, name: str) -> str:
        """Return the block of a rank profile for the new model.

        Args:
            text: The block as it is.
            name: Name of the profile.

        Raises:
            SpecError: If it does not start as a rank profile does.
        """
        head, brace, body = text.partition("{")
        match = re.fullmatch(rf"(\S+\s+){re.escape(name)}(\s+inherits\b)?(.*)", head, re.DOTALL)
        if match is None:
            raise SpecError(f"rank-profile {name}: expected a block of that name")
        inherits, parents = match[2] or "", match[3]
        if name in parents.split():  # "default inherits default" means Vespa's own
            inherits, parents = "", " "
        parents = re.sub(
            r"[\w-]+(?:\.[\w-]+)*", lambda it: self.profiles.get(it[0], it[0]), parents
        )
        head = f"{match[1]}{self.profiles[name]}{inherits}{parents}"
        for old, new in self.fields.items():
            body = _mention(old).sub(rf"\g<before>{new}", body)
        return head + brace + re.sub(TYPE, lambda found: self._type(found[0]), body)

    def is_touched(self, kind: TensorType) -> bool:
        """Return whether a type of an input is another one for the new model."""
        sizes = {(each.name, each.size or 0) for each in kind.dimensions}
        if not kind.mapped and sizes & self.others:
            return False
        return any(self.widths.get(each, each[1]) != each[1] for each in sizes)

    def _type(self, text: str) -> str:
        if not self.is_touched(TensorType.parse("".join(text.split()))):
            return text
        return re.sub(r"\b(\w+)(\s*\[\s*)(\d+)(?=\s*\])", self._width, text)

    def _width(self, found: re.Match[str]) -> str:
        size = self.widths.get((found[1], int(found[3])), int(found[3]))
        return f"{found[1]}{found[2]}{size}"


def speaks_of(text: str, field: str) -> bool:
    """Return whether a rank profile uses a tensor field."""
    return _mention(field).search(text) is not None


def _mention(field: str) -> re.Pattern[str]:
    """Return what a feature looks like that reads the field: attribute(f), closeness(field,f)."""
    return re.compile(
        rf"(?P<before>\battribute\s*\(\s*|\(\s*field\s*,\s*){re.escape(field)}(?=\s*[,)])"
    )


def new_type(old: TensorType, dim: int, where: str) -> TensorType:
    """Return the type of a field of token vectors for a model of other dims.

    Args:
        old: Its type for the old model.
        dim: Components of the new model's vectors.
        where: Names the field in an error.

    Raises:
        SpecError: If it is no field of token vectors, or the dims do not fit into its cells.
    """
    components = COMPONENTS_A_CELL.get(old.cell_type)
    if components is None or len(old.indexed) != 1 or not old.mapped:
        raise SpecError(f"{where}: expected token vectors such as tensor<int8>(dt{{}},x[16])")
    if dim % components:
        raise SpecError(f"{where}: cells of int8 need dims divisible by 8, the model has {dim}")
    return TensorType(
        old.cell_type,
        tuple(
            each if each.is_mapped else Dimension(each.name, dim // components)
            for each in old.dimensions
        ),
    )
