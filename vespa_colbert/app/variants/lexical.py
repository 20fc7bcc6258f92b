"""Weights of the tokens of a text, as BGE-M3 gives them: a dot product over the tokens in common.

Whoever feeds and asks sends them; the labels are ids of tokens, or their texts. A document of
several texts has some for each and counts as the best of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.field import Field
from vespa_colbert.app.options import LexicalWeights
from vespa_colbert.app.profile import Function, Input, RankProfile
from vespa_colbert.app.variants.part import SENT, Design, Part
from vespa_colbert.app.variants.tokens import OUTER
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = [
    "LEXICAL",
    "asked_lexical",
    "lexical",
    "lexical_faults",
    "lexical_function",
    "lexical_input",
]

LEXICAL = "lexical"
QUERY = f"q_{LEXICAL}"
LABEL = "t"


def lexical(design: Design) -> Part:
    """Return the field ``lexical`` and the rank profile ``lexical``, if there are such weights."""
    if (weights := design.options.lexical) is None:
        return Part()
    profile = RankProfile(
        name=LEXICAL,
        inputs=(lexical_input(weights),),
        functions=(lexical_function(design),),
        first_phase=LEXICAL,
        match_features=(LEXICAL,),
    )
    labels = () if design.options.layout == "passage" else (Dimension(OUTER),)
    field = Field(
        name=LEXICAL,
        type=str(TensorType(weights.cell_type, (*labels, Dimension(LABEL)))),
        indexing=("attribute",),
    )
    return Part(
        fields=(field,),
        profiles=(profile,),
        queries=(design.query(profile=profile.name, inputs=(asked_lexical(),)),),
        fed=((LEXICAL, SENT),),
    )


def lexical_function(design: Design) -> Function:
    """Return the function that sums the products of the weights of tokens in common."""
    products = f"query({QUERY}) * attribute({LEXICAL})"
    if design.options.layout == "passage":
        return Function(name=LEXICAL, expression=f"sum({products})")
    return Function(name=LEXICAL, expression=f"reduce(sum({products}, {LABEL}), max, {OUTER})")


def lexical_input(weights: LexicalWeights) -> Input:
    """Return the input that holds the query's weights."""
    return Input(name=QUERY, type=TensorType(weights.cell_type, (Dimension(LABEL),)))


def asked_lexical() -> tuple[str, str]:
    """Return the input that holds the query's weights; nothing fills it but whoever asks."""
    return QUERY, SENT


def lexical_faults(design: Design) -> Iterator[str]:
    """Yield why Vespa could not have the weights."""
    weights = design.options.lexical
    if weights is not None and weights.cell_type not in {CellType.FLOAT, CellType.BFLOAT16}:
        yield f"lexical: cell type: expected float or bfloat16, got {weights.cell_type}"
