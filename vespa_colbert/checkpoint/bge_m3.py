"""The BGE-M3 layout: an encoder at the root and its head in ``colbert_linear.pt``.

There are no markers, no expansion and no skip words. The row of the start token is no token
vector, of queries and documents alike, and the score is the mean over the query's token vectors.
Source: M3Embedder, EncoderOnlyEmbedderM3Runner.get_model and
EncoderOnlyEmbedderM3Model._colbert_embedding and compute_colbert_score, FlagEmbedding 1.4.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vespa_colbert.checkpoint.checks import check_checkpoint
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.facts import Checkpoint, Encoder
from vespa_colbert.checkpoint.folder import config_files, digests
from vespa_colbert.checkpoint.head_file import read_head_file
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.stated_facts import STATED_ORIGIN
from vespa_colbert.checkpoint.text_windows import check_sides
from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, TokenizerFacts, read_tokenizer
from vespa_colbert.errors import CheckpointError

__all__ = ["NAME", "misfits", "read"]

NAME = "bge-m3"
# The one that cannot run code comes first.
HEAD_FILES = ("colbert_linear.safetensors", "colbert_linear.pt")
SPARSE_FILE = "sparse_linear.pt"

DEFAULT_TOKENS = 512
DEFAULT_ORIGIN = "default of FlagEmbedding 1.4.0"
POSITIONS_ORIGIN = "config.json: positions of the encoder, fewer than FlagEmbedding's default 512"
LAYOUT_ORIGIN = "the layout bge-m3 has none"
FIXED_FACTS = ("query_marker", "document_marker", "query_expansion", "skip_words")


def misfits(folder: Path, _options: ReadOptions) -> tuple[str, ...]:
    """Return what keeps a folder from being of this layout; nothing if it is."""
    if any(is_present(folder / name) for name in HEAD_FILES):
        return ()
    return (f"no {' or '.join(HEAD_FILES)}",)


def read(folder: Path, options: ReadOptions) -> Checkpoint:
    """Return the checkpoint in ``folder``.

    The library cuts queries and documents at 512 tokens unless it is told otherwise, start and end
    token included; the published model takes 8192. Which of them a score was measured with stands
    in no file.

    Raises:
        CheckpointError: If a file is missing, damaged, contradicts another, or may not be opened.
    """
    head_path = _head_path(folder)
    layer = read_head_file(head_path, options, bias_wanted=True)
    tokenizer = _tokenizer(folder)
    encoder, weight_files = read_encoder(folder, options)
    mask_id, mask_origin = tokenizer.first_special("mask_token", "pad_token")
    pad_id, pad_origin = tokenizer.first_special("pad_token")
    max_query_tokens, query_origin = _length(options.max_query_tokens, encoder)
    max_document_tokens, document_origin = _length(options.max_document_tokens, encoder)
    checkpoint = Checkpoint(
        path=folder,
        layout=NAME,
        encoder=encoder,
        projection=(layer,),
        tokenizer=tokenizer,
        query_marker=None,
        document_marker=None,
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        mask_id=mask_id,
        pad_id=pad_id,
        max_query_tokens=max_query_tokens,
        max_document_tokens=max_document_tokens,
        query_expansion=False,
        expansion_attended=False,
        skip_words=(),
        skip_ids=(),
        lower_case=False,
        start_row_dropped=True,
        mean_score=True,
        provenance=_provenance(
            mask_id=mask_origin,
            pad_id=pad_origin,
            max_query_tokens=query_origin,
            max_document_tokens=document_origin,
        ),
        files=digests(folder, (*weight_files, head_path, *config_files({folder}))),
        warnings=tuple(_warnings(folder)),
    )
    return check_checkpoint(checkpoint)


def _tokenizer(folder: Path) -> TokenizerFacts:
    """Return the tokenizer.

    Raises:
        CheckpointError: If it is damaged, or not as the library's rows need it.
    """
    tokenizer = read_tokenizer(folder)
    tokenizer.check_both_ends()
    # With padding before a text the library would drop another row than the start token's.
    check_sides(folder, tokenizer, expanded=True)
    return tokenizer


def _provenance(**origins: str) -> Mapping[str, str]:
    return {
        **dict.fromkeys(FIXED_FACTS, LAYOUT_ORIGIN),
        "start_id": f"{TOKENIZER_FILE}: post_processor",
        "end_id": f"{TOKENIZER_FILE}: post_processor",
        **origins,
    }


def _head_path(folder: Path) -> Path:
    """Return the file of the head.

    Raises:
        CheckpointError: If there is none.
    """
    for name in HEAD_FILES:
        if is_present(folder / name):
            return folder / name
    raise CheckpointError(f"{folder}: expected {' or '.join(HEAD_FILES)}, got neither")


def _length(stated: int | None, encoder: Encoder) -> tuple[int, str]:
    """Return the tokens of a text and where the number comes from."""
    if stated is not None:
        return stated, STATED_ORIGIN
    if encoder.positions < DEFAULT_TOKENS:
        return encoder.positions, POSITIONS_ORIGIN
    return DEFAULT_TOKENS, DEFAULT_ORIGIN


def _warnings(folder: Path) -> Iterator[str]:
    safe, pickled = (is_present(folder / name) for name in HEAD_FILES)
    if pickled and safe:
        yield f"{HEAD_FILES[0]} is read, not {HEAD_FILES[1]}, which FlagEmbedding takes"
    if not pickled:
        yield (
            f"without {HEAD_FILES[1]} FlagEmbedding gives the model a random projection in silence"
        )
    elif not is_present(folder / SPARSE_FILE):
        yield (
            f"without {SPARSE_FILE} FlagEmbedding leaves {HEAD_FILES[1]} unread and gives the "
            "model a random projection in silence; here the trained one is used"
        )
