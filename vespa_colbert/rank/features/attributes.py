"""``attribute(field)``: tensors, numbers, hashes of strings, elements of arrays, weights of sets.

Source: attributefeature.cpp and undefinedvalues.h, Vespa 8.700.24.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.field import Field
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import (
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.batches import batch_numbers
from vespa_colbert.rank.documents import Documents, FieldTensors
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.string_hash import string_value
from vespa_colbert.tensor import Tensor

__all__ = ["NUMBER_TYPES", "attribute_value", "element_type"]

NUMBER_TYPES = {"byte": 8, "int": 32, "long": 64, "float": 0, "double": 0, "bool": 1}
"""Types of attributes that are numbers → bits, 0 for those with a point."""

COLLECTION = re.compile(r"(array|weightedset)<(\w+)>")
DEFAULTS = {"value": 0.0, "weight": 0.0, "contains": 0.0, "count": 0.0}
"""Output → what it is where nothing says otherwise."""

Value: TypeAlias = Tensor | DocumentRows


def element_type(field_type: str) -> tuple[str, str]:
    """Return the kind of collection (empty for a single value) and the type of its elements."""
    match = COLLECTION.fullmatch(field_type)
    return (match[1], match[2]) if match else ("", field_type)


def attribute_value(
    feature: FeatureName,
    schema: Schema,
    documents: Documents,
    positions: NDArray[np.int64],
    words: Sequence[str],
) -> Value:
    """Return an attribute of some documents.

    Args:
        feature: As written.
        schema: Says its type.
        documents: All documents.
        positions: (document,) int64, those asked for.
        words: The feature's arguments.

    Raises:
        UnknownFeatureError: If there is no such attribute, or the documents do not hold it.
        ExpressionTypeError: If the documents hold another type than the schema says.
        UnsupportedFunctionError: If its type has no value in ranking, or none that is reproduced.
    """
    name = words[0]
    if name in documents.tensors:
        return _tensor(feature, schema, documents, positions)
    field = next((each for each in schema.all_fields if each.name == name), None)
    if field is None or name not in documents.values or field.tensor_type is not None:
        held = ", ".join((*documents.tensors, *documents.values)) or "none"
        hint = f"; {documents.hint}" if documents.hint else ""
        raise UnknownFeatureError(
            f"{feature.text}: {documents.where} has no such tensor field or attribute "
            f"(fields: {held}){hint}"
        )
    if not field.is_attribute:
        raise UnknownFeatureError(
            f"{feature.text}: field {name} of schema {schema.name} is no attribute; add it to its "
            "indexing"
        )
    values = documents.values[name]
    chosen = [values[position] for position in positions.tolist()]
    return batch_numbers(_numbers(feature, field, chosen, words[1] if len(words) > 1 else None))


def _tensor(
    feature: FeatureName, schema: Schema, documents: Documents, positions: NDArray[np.int64]
) -> Value:
    """Return a tensor field of some documents.

    Raises:
        ExpressionTypeError: If the documents hold another type than the schema says.
        UnknownFeatureError: If it has arguments or an output that no tensor has.
    """
    (name, *rest), rows = feature.words(), documents.tensors[feature.words()[0]]
    wanted = next((each.tensor_type for each in schema.all_fields if each.name == name), None)
    if wanted != rows.type:
        raise ExpressionTypeError(
            f"attribute({name}): expected {wanted} as schema {schema.name} says, got "
            f"{rows.type} in {documents.where}; {documents.hint}"
        )
    if rest or feature.output not in {"", "value"}:
        raise UnknownFeatureError(f"{feature.text}: a tensor has no elements and no such output")
    everything = np.array_equal(positions, documents.everything)
    selected = rows if everything else rows.select(positions)
    return selected.batch() if isinstance(selected, FieldTensors) else selected


def _numbers(
    feature: FeatureName, field: Field, values: Sequence[Any], key: str | None
) -> NDArray[np.float64]:
    """Return one number a document.

    Raises:
        UnsupportedFunctionError: If elements of this type have no number.
        UnknownFeatureError: If there is no such output.
        ExpressionTypeError: If the second argument is no index into an array.
    """
    kind, element = element_type(field.type)
    if element != "string" and element not in NUMBER_TYPES:
        raise UnsupportedFunctionError(
            f"{feature.text}: an attribute of type {field.type} is not reproduced"
        )
    output = feature.output or "value"
    if output not in DEFAULTS or (field.type == "bool" and output != "value"):
        raise UnknownFeatureError(f"{feature.text}: {field.type} has no output {output}")
    place = 0
    if kind == "array" and key is not None:
        if not key.isdecimal():
            raise ExpressionTypeError(f"{feature.text}: expected an index into {field.type}")
        place = int(key)
    number = _number_of(element)
    if kind == "array":
        found = [_array(value, place if key is not None else None, number) for value in values]
    elif kind == "weightedset":
        found = [_weighted_set(value, _key(key, element), number) for value in values]
    else:
        found = [DEFAULTS | {"value": number(value), "count": 1.0} for value in values]
    return np.array([each[output] for each in found], np.float64)


def _key(text: str | None, element: str) -> Any:
    return text if text is None or element == "string" else float(text)


def _number_of(element: str) -> Callable[[Any], float]:
    """Return the function that gives the number of one value; NaN for none."""
    if element == "string":
        return lambda value: string_value(value) if value else np.nan
    if element == "float":
        return lambda value: np.nan if value is None else float(np.float32(value))
    missing = 0.0 if element == "bool" else np.nan
    return lambda value: missing if value is None else float(value)


def _array(value: Any, place: int | None, number: Callable[[Any], float]) -> dict[str, float]:
    """Return the element at an index, 0 where there is none; without an index only the count."""
    elements = value or ()
    if place is None:
        return DEFAULTS | {"count": float(len(elements))}
    return DEFAULTS | {"value": number(elements[place]) if place < len(elements) else 0.0}


def _weighted_set(value: Any, key: Any, number: Callable[[Any], float]) -> dict[str, float]:
    """Return key and weight of an element, 0 where the set lacks it; without a key the count."""
    weights: Mapping[str, float] = value or {}
    if key is None:
        return DEFAULTS | {"count": float(len(weights))}
    for element, weight in weights.items():
        if (element if isinstance(key, str) else float(element)) == key:
            return DEFAULTS | {"value": number(key), "weight": float(weight), "contains": 1.0}
    return DEFAULTS
