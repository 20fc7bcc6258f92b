"""A cross-encoder in the global phase: query and document in one sequence, as it was trained.

Vespa cuts a sequence at its end, the last separator with it. Here the document is cut before, to
the room that the query leaves, so that the separator stays.

Source: TokenTransformer, Vespa 8.700.24, for what ``customTokenInputIds`` and its relatives give.
"""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.app.cross_encoder import CrossEncoder, Tokenizer
from vespa_colbert.app.faults import named
from vespa_colbert.app.field import Field
from vespa_colbert.app.options import CrossEncoding
from vespa_colbert.app.profile import Function, Input, OnnxModel, RankProfile, Rerank
from vespa_colbert.app.query import ANY_WORD
from vespa_colbert.app.variants.hybrid import (
    HYBRID,
    fused_expression,
    hybrid_inputs,
    hybrid_match,
    reciprocal_rank,
)
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.tokens import TokenField
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["cross_encode", "cross_encode_faults"]

MODEL = "cross_encoder"
TOKENIZER = "cross_encoder_tokenizer"
FIELD = "cross_encoder_tokens"
QUERY = "q_tokens"
DOCUMENT = "document_tokens"
NOTHING = "no_tokens"
LENGTH = "query_length"
SCORE = "cross_encoder_score"


def cross_encode(design: Design) -> Part:
    """Return what a cross-encoder needs and a rank profile for each kind of token vectors.

    Where scores are fused, there is another one for each: in it the cross-encoder ranks what the
    fused profile finds, in the place of the fusion or as one more of what is fused.
    """
    if (chosen := design.options.cross_encoding) is None:
        return Part()
    profiles, queries = [], []
    for tokens in design.tokens:
        for parent, where, inputs in _parents(tokens, design):
            name = f"cross_encode_{parent.removeprefix('rerank_')}"
            profiles.append(_profile(name, parent, chosen, design))
            asked = (*inputs, (QUERY, f"embed({TOKENIZER}, @text)"))
            queries.append(design.query(profile=name, where=where, inputs=asked))
    return Part(
        fields=(_field(chosen.encoder, design),),
        profiles=tuple(profiles),
        onnx_models=(_model(chosen.encoder, gpu=design.options.nodes.gpu),),
        components=(Tokenizer(name=TOKENIZER, tokenizer=chosen.encoder.tokenizer),),
        files=(chosen.encoder.model,),
        queries=tuple(queries),
    )


def cross_encode_faults(design: Design) -> Iterator[str]:
    """Yield why Vespa could not run the cross-encoder."""
    if (chosen := design.options.cross_encoding) is None:
        return
    encoder = chosen.encoder
    if faults := [*filter(None, encoder.faults())]:
        yield from named("cross-encoder", *faults)
        return
    if not 0 < chosen.query_tokens < encoder.room:
        yield (
            f"cross-encoder: expected query tokens from 1 to {encoder.room - 1}, so that a "
            f"document has room, got {chosen.query_tokens}"
        )
    if chosen.rerank_count < 1:
        yield f"cross-encoder: expected a rerank count of 1 or more, got {chosen.rerank_count}"
    fusion = design.options.fusion
    if chosen.fused and (fusion is None or fusion.fusing != "reciprocal-rank"):
        yield "cross-encoder: its rank is fused where scores are, by reciprocal-rank"
    if encoder.facts.token_type_ids and encoder.pair.second_type and encoder.pair.separators > 1:
        yield "cross-encoder: Vespa gives no token types to a pair with two separators"


def _parents(
    tokens: TokenField, design: Design
) -> Iterator[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Yield the profiles whose hits are ranked again: name, condition and inputs."""
    yield f"rerank_{tokens.suffix}", ANY_WORD, ((tokens.query_name, design.asked),)
    if design.options.fusion is not None:
        inputs = hybrid_inputs(tokens, design)
        yield f"{HYBRID}_{tokens.suffix}", hybrid_match(design), inputs


def _text(design: Design) -> str:
    """Return the indexing statement's text of a whole document, whatever its layout."""
    text = 'input contexts | join " "' if design.options.layout == "contexts" else "input text"
    if not design.options.embed_title:
        return text
    said = f"({text})" if design.options.layout == "contexts" else f'({text} || "")'
    return f'(input title || "") . " " . {said}'


def _ids(count: int) -> TensorType:
    """Return the type of so many token ids, zeros behind them."""
    return TensorType(CellType.FLOAT, (Dimension("d0", count),))


def _field(encoder: CrossEncoder, design: Design) -> Field:
    """Return the field that holds the token ids of a document: as many as could have room."""
    return Field(
        name=FIELD,
        type=str(_ids(encoder.room)),
        indexing=(f"{_text(design)} | embed {TOKENIZER} | attribute",),
        in_document=False,
    )


def _model(encoder: CrossEncoder, *, gpu: bool) -> OnnxModel:
    """Return the model of the schema; its inputs are functions of the rank profiles."""
    return OnnxModel(
        name=MODEL,
        file=encoder.model.path,
        inputs=tuple((name, function) for function, name in _inputs(encoder).items()),
        outputs=((encoder.facts.output, "logits"),),
        settings=("gpu-device: 0",) if gpu else (),
    )


def _inputs(encoder: CrossEncoder) -> dict[str, str]:
    """Return function → the input of the graph that it fills."""
    facts = encoder.facts
    types = {"token_type_ids": facts.token_type_ids} if facts.token_type_ids else {}
    return {"input_ids": facts.input_ids, "attention_mask": facts.attention_mask, **types}


def _profile(name: str, parent: str, chosen: CrossEncoding, design: Design) -> RankProfile:
    """Return the profile that ranks the hits of another one again."""
    logit = f"onnx({MODEL}).logits{{d0:0, d1:0}}"
    score, functions = f"sigmoid({logit})" if chosen.score == "sigmoid" else logit, []
    fusion = design.options.fusion
    if chosen.fused and fusion is not None and parent.startswith(HYBRID):
        functions.append(Function(name=SCORE, expression=score))
        score = f"{fused_expression(fusion, design)} + {reciprocal_rank(SCORE, fusion)}"
    return RankProfile(
        name=name,
        inherits=(parent,),
        inputs=(Input(name=QUERY, type=_ids(chosen.query_tokens)),),
        functions=(*_functions(chosen.encoder), *functions),
        global_phase=Rerank(expression=score, rerank_count=chosen.rerank_count),
    )


def _functions(encoder: CrossEncoder) -> Iterator[Function]:
    """Yield the functions that fill the inputs of the graph.

    A text without tokens between the two puts a second separator there.
    """
    pair, size = encoder.pair, encoder.facts.max_tokens
    room = f"{encoder.room} - {LENGTH}"
    yield Function(name=LENGTH, expression=f"sum(map(query({QUERY}), f(id)(id > 0)))")
    kept = f"tensor<float>(d0[{encoder.room}])(d0 < {room})"
    yield Function(name=DOCUMENT, expression=f"attribute({FIELD}) * {kept}")
    if pair.separators > 1:
        yield Function(name=NOTHING, expression="tensor<float>(d0[1])(0)")
    texts = [f"query({QUERY})", *[NOTHING] * (pair.separators - 1), DOCUMENT]
    both = f"{size}, {', '.join(texts)}"
    ids = f"customTokenInputIds({pair.start_id}, {pair.separator_id}, {both})"
    yield Function(name="input_ids", expression=ids)
    yield Function(name="attention_mask", expression=f"tokenAttentionMask({both})")
    if encoder.facts.token_type_ids:
        zeros = f"tensor<float>(d0[1],d1[{size}])(0)"
        types = f"tokenTypeIds({both})" if pair.second_type else zeros
        yield Function(name="token_type_ids", expression=types)
