"""Words, lexical weights, dense vectors and MaxSim: what one of them finds, all of them rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vespa_colbert.app.options import Fusion, Words
from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.query import ANY_WORD
from vespa_colbert.app.texts import decimal
from vespa_colbert.app.variants.dense import (
    CLOSENESS,
    asked_dense,
    cosine,
    dense_input,
    dense_match,
)
from vespa_colbert.app.variants.lexical import (
    LEXICAL,
    asked_lexical,
    lexical_function,
    lexical_input,
)
from vespa_colbert.app.variants.max_sim import MAX_SIM
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.texts import bm25, bm25_features, bm25_settings
from vespa_colbert.app.variants.tokens import TokenField
from vespa_colbert.tensor import CellType, TensorType

__all__ = [
    "HYBRID",
    "fused_expression",
    "hybrid",
    "hybrid_faults",
    "hybrid_inputs",
    "hybrid_match",
    "reciprocal_rank",
]

HYBRID = "hybrid"
RANKED_TOGETHER = frozenset({"reciprocal-rank", "normalized"})
"""Ways of fusing that look at all hits, in the global phase."""

DENSE = {"closeness": "dense_closeness", "cosine": "dense_cosine"}
WORDS = "words"
"""Functions: what dense vectors and words say of a document."""

MEAN = f"mean_{MAX_SIM}"
"""MaxSim divided by the number of the query's tokens."""


def hybrid(design: Design) -> Part:
    """Return a rank profile for each kind of token vectors, if scores are to be fused."""
    if (fusion := design.options.fusion) is None:
        return Part()
    return Part(
        profiles=tuple(_profile(each, fusion, design) for each in design.tokens),
        queries=tuple(
            design.query(
                profile=f"{HYBRID}_{each.suffix}",
                where=hybrid_match(design),
                inputs=hybrid_inputs(each, design),
            )
            for each in design.tokens
        ),
    )


def hybrid_match(design: Design) -> str:
    """Return the condition that finds documents by words, and by dense vectors if there are any."""
    vectors = design.options.dense
    return ANY_WORD if vectors is None else f"{ANY_WORD} or {dense_match(vectors)}"


def hybrid_inputs(tokens: TokenField, design: Design) -> tuple[tuple[str, str], ...]:
    """Return input → what fills it, for the profile of a field."""
    vectors = design.options.dense
    more = () if vectors is None else (asked_dense(vectors),)
    weights = () if design.options.lexical is None else (asked_lexical(),)
    return ((tokens.query_name, design.asked), *more, *weights)


def hybrid_faults(design: Design) -> Iterator[str]:
    """Yield why scores could not be fused so."""
    if (fusion := design.options.fusion) is None:
        return
    if fusion.rerank_count < 1:
        yield f"fusion: expected a rerank count of 1 or more, got {fusion.rerank_count}"
    for name in ("k", "max_sim_weight", "dense_weight", "words_weight", "lexical_weight"):
        if not 0 <= getattr(fusion, name) < float("inf"):
            yield f"fusion: {name}: expected a number of 0 or more, got {getattr(fusion, name)}"
    if len(_parts(fusion, design)) < 2 and fusion.fusing != "max-sim":
        yield "fusion: without words and without dense vectors there is nothing to fuse with MaxSim"
    if fusion.first_phase == "fused" and fusion.fusing in RANKED_TOGETHER:
        yield f"fusion: {fusion.fusing} needs all hits, which no first phase has"
    vectors = design.options.dense
    has_bits = vectors is not None and vectors.cell_type is CellType.INT8
    if fusion.dense_score == "cosine" and has_bits:
        yield "fusion: bits have no cosine; choose closeness"


def fused_expression(fusion: Fusion, design: Design) -> str:
    """Return the expression that makes one score of several; MaxSim where nothing is fused."""
    parts = _parts(fusion, design)
    if fusion.fusing == "max-sim":
        return parts[0].score
    if fusion.fusing == "reciprocal-rank":
        return " + ".join(reciprocal_rank(each.score, fusion) for each in parts)
    scaled = "normalize_linear({})" if fusion.fusing == "normalized" else "{}"
    return " + ".join(f"query({each.weight}) * {scaled.format(each.score)}" for each in parts)


def reciprocal_rank(score: str, fusion: Fusion) -> str:
    """Return what the place of a hit by some score counts."""
    return f"reciprocal_rank({score}, {decimal(fusion.k)})"


@dataclass(frozen=True, slots=True)
class _Score:
    """One of the scores that are fused: a function or feature, its weight's input and default."""

    score: str
    weight: str
    default: float


def _parts(fusion: Fusion, design: Design) -> tuple[_Score, ...]:
    """Return what is fused."""
    words: dict[Words, tuple[str, ...]] = {
        "together": (WORDS,),
        "apart": bm25_features(design.options.layout),
        "none": (),
    }
    has_dense, has_lexical = design.options.dense is not None, design.options.lexical is not None
    dense = DENSE[fusion.dense_score]
    max_sim = MEAN if fusion.max_sim == "mean" else MAX_SIM
    lexical = _Score(LEXICAL, f"{LEXICAL}_weight", fusion.lexical_weight)
    return (
        _Score(max_sim, f"{MAX_SIM}_weight", fusion.max_sim_weight),
        *((_Score(dense, f"{dense}_weight", fusion.dense_weight),) if has_dense else ()),
        *((lexical,) if has_lexical else ()),
        *(_Score(each, f"{WORDS}_weight", fusion.words_weight) for each in words[fusion.words]),
    )


def _profile(tokens: TokenField, fusion: Fusion, design: Design) -> RankProfile:
    """Return the profile: MaxSim or the sum in the second phase, the fusion in the global one."""
    parts = _parts(fusion, design)
    by_dense = design.options.dense is not None and fusion.first_phase == "dense"
    expression = fused_expression(fusion, design)
    is_global, is_first = fusion.fusing in RANKED_TOGETHER, fusion.first_phase == "fused"
    fused = Rerank(expression=expression, rerank_count=fusion.rerank_count)
    middle = MAX_SIM if is_global else expression
    again = Rerank(expression=middle, rerank_count=design.options.rerank_count)
    first_phase = DENSE[fusion.dense_score] if by_dense else WORDS
    scores = {each.score for each in parts} | (set() if is_first else {first_phase})
    shown = (*(each.score for each in parts), *bm25_features(design.options.layout))
    return RankProfile(
        name=f"{HYBRID}_{tokens.suffix}",
        inherits=(f"{MAX_SIM}_{tokens.suffix}",),
        inputs=(*_tensors(design), *_weights(fusion, parts)),
        functions=tuple(_functions(tokens, fusion, design, has_words=WORDS in scores)),
        first_phase=expression if is_first else first_phase,
        second_phase=None if is_first else again,
        global_phase=fused if is_global else None,
        match_features=tuple(dict.fromkeys(shown)),
        properties=bm25_settings(design),
    )


def _tensors(design: Design) -> Iterator[Input]:
    """Yield the inputs that hold what a query says beside its token vectors."""
    if (vectors := design.options.dense) is not None:
        yield dense_input(vectors)
    if (weights := design.options.lexical) is not None:
        yield lexical_input(weights)


def _functions(
    tokens: TokenField, fusion: Fusion, design: Design, *, has_words: bool
) -> Iterator[Function]:
    """Yield what dense vectors, lexical weights and words say of a document, and mean MaxSim."""
    if fusion.max_sim == "mean":
        count = f"reduce(query({tokens.query_name}), count) / {tokens.dim}"
        yield Function(name=MEAN, expression=f"{MAX_SIM} / max(1, {count})")
    if design.options.dense is not None:
        name = DENSE[fusion.dense_score]
        if fusion.dense_score == "cosine":
            yield from cosine(name, design)
        else:
            yield Function(name=name, expression=CLOSENESS)
    if design.options.lexical is not None:
        yield lexical_function(design)
    if has_words:
        yield Function(name=WORDS, expression=bm25(design.options.layout))


NUMBER = TensorType(CellType.DOUBLE)


def _weights(fusion: Fusion, parts: tuple[_Score, ...]) -> tuple[Input, ...]:
    """Return the inputs that a query may bring to weigh the scores by."""
    if fusion.fusing in {"reciprocal-rank", "max-sim"}:
        return ()
    weights = {each.weight: each.default for each in parts}
    return tuple(
        Input(name=name, type=NUMBER, default=decimal(default)) for name, default in weights.items()
    )
