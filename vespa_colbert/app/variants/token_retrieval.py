"""Retrieval by token vectors alone: each query token finds its nearest ones, MaxSim ranks them."""

from __future__ import annotations

from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.query import NearestTokens
from vespa_colbert.app.variants.max_sim import MAX_SIM
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.tokens import TokenField
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["token_retrieval"]

BITS_MAX_SIM = "bits_max_sim"


def token_retrieval(design: Design) -> Part:
    """Return a rank profile for each kind of token vectors, if they are to be searched."""
    if (asked := design.options.token_retrieval) is None:
        return Part()
    return Part(
        profiles=tuple(_profile(each, design) for each in design.tokens),
        queries=tuple(
            design.query(
                profile=_name(each),
                inputs=(
                    (each.query_name, design.asked),
                    *((given.name, "") for given in _inputs(each, design)),
                ),
                nearest=_nearest(each, design, asked),
            )
            for each in design.tokens
        ),
    )


def _name(tokens: TokenField) -> str:
    return f"token_retrieval_{tokens.suffix}"


def _nearest(tokens: TokenField, design: Design, asked: TokenRetrieval) -> NearestTokens:
    return NearestTokens(
        field=tokens.name, target_hits=asked.target_hits, most=design.facts.max_query_tokens
    )


def _inputs(tokens: TokenField, design: Design) -> tuple[Input, ...]:
    """Return what the client sends: a vector for each query token, and their signs as bits."""
    x = tokens.type.dimension("x")
    width = (x,) if x else ()
    cells = CellType.INT8 if tokens.is_packed else CellType.FLOAT
    one = TensorType(cells, width)
    bits = TensorType(cells, (Dimension("qt"), *width))
    names = NearestTokens.names(design.facts.max_query_tokens)
    each = tuple(Input(name=name, type=one) for name in names)
    return (Input(name=_bits(tokens), type=bits), *each) if tokens.is_packed else each


def _bits(tokens: TokenField) -> str:
    """Return the name of the query's token vectors as bits."""
    return tokens.query_name.replace("qt", "qtb")


def _profile(tokens: TokenField, design: Design) -> RankProfile:
    """Return a profile that ranks what was found: bits by their hamming distance, then by MaxSim.

    Source: visual-retrieval-colpali of Vespa's sample applications.
    """
    distance = f"sum(hamming(query({_bits(tokens)}), {tokens.attribute}), x)"
    expression = f"sum(reduce(1 / (1 + {distance}), max, {', '.join(tokens.labels)}), qt)"
    packed = tokens.is_packed
    rerank = Rerank(expression=MAX_SIM, rerank_count=design.options.rerank_count)
    return RankProfile(
        name=_name(tokens),
        inherits=(f"{MAX_SIM}_{tokens.suffix}",),
        inputs=_inputs(tokens, design),
        functions=(Function(name=BITS_MAX_SIM, expression=expression),) if packed else (),
        first_phase=BITS_MAX_SIM if packed else MAX_SIM,
        second_phase=rerank if packed else None,
        match_features=(BITS_MAX_SIM, MAX_SIM) if packed else (MAX_SIM,),
    )
