"""Settings that may explain a vectoriser of which only vectors are known: what is tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from vespa_colbert.checkpoint.dense_facts import POOLINGS
from vespa_colbert.diagnose.encoders import TorchEncoder
from vespa_colbert.diagnose.settings import IN_GRAPH, Change, Compute, Padding, Settings
from vespa_colbert.diagnose.sides import WhiteBox
from vespa_colbert.diagnose.tokenization import (
    lower_cases,
    with_lower_case,
    with_specials,
    without_specials,
)

__all__ = [
    "BGE_INSTRUCTIONS",
    "LENGTHS",
    "MOST_LENGTHS",
    "before_pooling",
    "length_changes",
    "padding_changes",
    "poolings",
    "projections",
]

BGE_INSTRUCTIONS = {
    "BGE, Chinese": "为这个句子生成表示以用于检索相关文章：",  # noqa: RUF001
    "BGE, English": "Represent this sentence for searching relevant passages: ",
    "E5, query": "query: ",
    "E5, passage": "passage: ",
}
"""Instructions of models that do not always name them in their files.

Source: query_instruction_for_retrieval of FlagEmbedding 1.3; the model cards of BGE and E5.
"""

LENGTHS = (32, 64, 128, 192, 256, 384, 512, 1024, 2048, 4096, 8192)
"""Lengths at which programs cut texts."""

MOST_LENGTHS = 64
"""Other lengths that are tried, between those that the texts leave possible."""

BATCHES = (8, 16, 32, 64, 128, 256)
"""Texts of a batch, as programs have them."""


def before_pooling(white: WhiteBox, longest: int) -> Iterator[Change]:
    """Yield changes of what is before the pooling, padding aside, one value each.

    Args:
        white: The side whose settings are known.
        longest: Tokens of the longest text that is not cut.
    """
    yield from _instructions(white)
    yield from _tokens(white)
    yield from _hidden(white)
    yield from length_changes(white, [each for each in LENGTHS if each < longest])


def length_changes(white: WhiteBox, lengths: Sequence[int]) -> Iterator[Change]:
    """Yield other lengths at which texts are cut, then none."""
    own = white.settings.max_tokens
    for length in (*lengths, white.positions, None):
        if length != own and (length is None or 3 <= length <= white.positions):
            shown = "not cut" if length is None else f"{length} tokens"
            yield Change(aspect="max_tokens", value=length, shown=shown)


def padding_changes(white: WhiteBox, count: int, *, together: bool) -> Iterator[Change]:
    """Yield ways to fill texts up without a mask.

    Args:
        white: The side whose settings are known.
        count: Texts.
        together: Whether vectors may depend on the other texts of their batch.
    """
    own, limit = white.settings.padding, white.settings.max_tokens or white.positions
    shapes = [Padding(batch=1, width=limit, pad_id=own.pad_id)]
    if together:
        sizes = sorted({min(count, size) for size in (*BATCHES, count)}, reverse=True)
        for size in sizes:
            shapes.append(replace(own, batch=size))
            if size < count:
                shapes.append(replace(own, batch=size, by_length=True))
    sides: tuple[Literal["right", "left"], ...] = ("right", "left")
    for shape in shapes:
        for side in sides:
            for seen, pooled in ((True, True), (False, True), (True, False)):
                value = replace(shape, side=side, seen_by_encoder=seen, pooled=pooled)
                yield Change(aspect="padding", value=value, shown=str(value))


def poolings(settings: Settings) -> Iterator[Change]:
    """Yield other poolings, where the encoder gives rows."""
    if settings.pooling == IN_GRAPH:
        return
    for mode in POOLINGS:
        if (mode,) != settings.pooling:
            yield Change(aspect="pooling", value=(mode,), shown=mode)


def projections(settings: Settings) -> Iterator[Change]:
    """Yield layers behind the pooling: some left out, or the encoder's own pooler."""
    for kept in range(len(settings.projection)):
        shown = f"{kept} of {len(settings.projection)} layers"
        yield Change(aspect="projection", value=settings.projection[:kept], shown=shown)
    encoder = settings.encoder
    if isinstance(encoder, TorchEncoder) and (layer := encoder.pooler) is not None:
        shown = "pooler_output: the encoder's own layer behind the first row, and tanh"
        yield Change(aspect="projection", value=(layer, *settings.projection), shown=shown)


def _instructions(white: WhiteBox) -> Iterator[Change]:
    known = {f"prompt {name!r}": text for name, text in white.prompts.items()}
    seen = {white.settings.instruction}
    for origin, text in {"none": "", **known, **BGE_INSTRUCTIONS}.items():
        for value in (text, text.rstrip(), f"{text.rstrip()} " if text else ""):
            if value not in seen:
                seen.add(value)
                shown = repr(value) if value else "none"
                yield Change(aspect="instruction", value=value, shown=shown, origin=origin)


def _tokens(white: WhiteBox) -> Iterator[Change]:
    """Yield changes of the tokenizer."""
    own = white.settings
    lower = lower_cases(own.normalizer)
    for accents in (False, True):
        yield Change(
            aspect="normalizer",
            value=with_lower_case(own.normalizer, wanted=not lower, accents=accents),
            shown="keeps case" if lower else "lower-cases",
            title="lower-casing",
        )
    if not lower:
        yield Change(aspect="lower_text", value=True, shown="the text, not the instruction")
    bare = without_specials(own.specials)
    if bare != own.specials:
        yield Change(aspect="specials", value=bare, shown="none")
    elif white.ends is not None:
        ends = with_specials(*white.ends)
        yield Change(aspect="specials", value=ends, shown=" … ".join(white.ends))
    other = "left" if own.truncation_side == "right" else "right"
    yield Change(aspect="truncation_side", value=other, shown=other)
    if not own.strip:
        yield Change(aspect="strip", value=True, shown="taken off")


def _hidden(white: WhiteBox) -> Iterator[Change]:
    """Yield other rows of the same encoder."""
    encoder = white.settings.encoder
    if not isinstance(encoder, TorchEncoder):
        return
    if encoder.types > 1:
        yield Change(aspect="token_types", value=1, shown="1 for every token")
    for layer in range(-2, -encoder.layers - 2, -1):
        yield Change(aspect="layer", value=layer, shown=f"{layer}, counted from the last, -1")
    kinds: tuple[Compute, ...] = ("float16", "bfloat16")
    for compute in kinds:
        yield Change(aspect="compute", value=compute, shown=f"computed in {compute}")
