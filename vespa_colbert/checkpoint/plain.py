"""A plain encoder and a head that the user names; what no file says, the user states.

Source: the token order, skip words and expansion of ColBERT; ColBERTConfig, colbert-ai 0.2.21.
"""

from __future__ import annotations

import string
from pathlib import Path

from vespa_colbert.checkpoint.checks import check_checkpoint
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.facts import Checkpoint
from vespa_colbert.checkpoint.folder import config_files
from vespa_colbert.checkpoint.head_file import read_head_file
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.stated_facts import REQUIRED, STATED_ORIGIN, stated_lengths
from vespa_colbert.checkpoint.text_windows import check_sides
from vespa_colbert.checkpoint.tokenizer_facts import (
    TOKENIZER_FILE,
    Marker,
    TokenizerFacts,
    read_tokenizer,
)
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import digest_file

__all__ = ["NAME", "misfits", "read", "unstated"]

NAME = "plain"
CONFIG_FILE = "config.json"
DEFAULT_SKIP_WORDS = tuple(string.punctuation)
DEFAULT_ORIGIN = "default of ColBERT"
SILENT = "no file of a plain encoder says (a marker may be empty for none)"

DEFAULTED = ("query_expansion", "expansion_attended", "skip_words")


def unstated(options: ReadOptions) -> tuple[str, ...]:
    """Return what a user has to state before a folder is looked at as one of this layout."""
    return () if options.head is not None else ("no head is named (--head FILE)",)


def misfits(folder: Path, _options: ReadOptions) -> tuple[str, ...]:
    """Return what keeps a folder from being of this layout; nothing if it is."""
    wanted = (CONFIG_FILE, TOKENIZER_FILE)
    return tuple(f"no {name}" for name in wanted if not is_present(folder / name))


def read(folder: Path, options: ReadOptions) -> Checkpoint:
    """Return the checkpoint that the encoder in ``folder`` and the named head make.

    Raises:
        CheckpointError: If something is not stated, or a file is missing, damaged, contradicts
            another, or may not be opened.
    """
    lengths = stated_lengths(options, silent=SILENT)
    if options.head is None:
        raise CheckpointError(f"{folder}: expected the name of a head file (--head FILE), got none")
    layer = read_head_file(options.head, options, bias_wanted=False)
    tokenizer = read_tokenizer(folder)
    check_sides(folder, tokenizer, expanded=options.query_expansion is not False)
    encoder, weight_files = read_encoder(folder, options)
    mask_id, mask_origin = tokenizer.first_special("mask_token", "eos_token", "pad_token")
    pad_id, pad_origin = tokenizer.first_special("pad_token", "mask_token", "eos_token")
    expansion = options.query_expansion is not False
    skip_words = DEFAULT_SKIP_WORDS if options.skip_words is None else options.skip_words
    checkpoint = Checkpoint(
        path=folder,
        layout=NAME,
        encoder=encoder,
        projection=(layer,),
        tokenizer=tokenizer,
        query_marker=_marker(tokenizer, options.query_marker, "query"),
        document_marker=_marker(tokenizer, options.document_marker, "document"),
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        mask_id=mask_id,
        pad_id=pad_id,
        max_query_tokens=lengths["max_query_tokens"],
        max_document_tokens=lengths["max_document_tokens"],
        query_expansion=expansion,
        expansion_attended=expansion and options.expansion_attended is True,
        skip_words=skip_words,
        skip_ids=tokenizer.ids(skip_words),
        lower_case=False,
        provenance={**_provenance(options), "mask_id": mask_origin, "pad_id": pad_origin},
        files={
            _file_name(path, folder): digest_file(path)
            for path in (*weight_files, options.head, *config_files({folder}))
        },
    )
    return check_checkpoint(checkpoint)


def _marker(tokenizer: TokenizerFacts, text: str | None, role: str) -> Marker | None:
    return tokenizer.marker(text, role) if text else None


def _provenance(options: ReadOptions) -> dict[str, str]:
    defaulted = {
        fact: DEFAULT_ORIGIN if getattr(options, fact) is None else STATED_ORIGIN
        for fact in DEFAULTED
    }
    return {
        **dict.fromkeys(REQUIRED, STATED_ORIGIN),
        **defaulted,
        "start_id": f"{TOKENIZER_FILE}: post_processor",
        "end_id": f"{TOKENIZER_FILE}: post_processor",
    }


def _file_name(path: Path, folder: Path) -> str:
    """Return the name within the checkpoint, or that of a head that lies elsewhere."""
    if path.resolve().is_relative_to(folder.resolve()):
        return path.resolve().relative_to(folder.resolve()).as_posix()
    return f"head: {path.name}"
