"""The library's treatment of texts, against the library as the tests write it out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.library_scores import Library
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.export.tokenizer_file import open_tokenizer
from vespa_colbert.export.treatment import Window, library_treatment, score_pairs
from vespa_colbert.model import build_encoder

SCORE_ROUNDING = 2e-5
"""float32 rounding of rows, 2e-6 each, over the ten rows of a query."""

QUERIES = ("", "rose", " what is a rose? ", "a, b; (c) d!", "x y z " * 12, "ROSE is")
DOCUMENTS = (*QUERIES, "a rose is a rose. is it a rose? it is!", "!!! ??? ...", "rose, " * 40)


def without_ends(checkpoint: Checkpoint) -> Checkpoint:
    document = json.loads(checkpoint.tokenizer.text) | {"post_processor": None}
    inside = replace(checkpoint.tokenizer, text=json.dumps(document), start_id=None, end_id=None)
    return replace(checkpoint, tokenizer=inside, start_id=None, end_id=None)


def changed(**facts: Any) -> Callable[[Checkpoint], Checkpoint]:
    return lambda checkpoint: replace(checkpoint, **facts)


CHANGES: dict[str, Callable[[Checkpoint], Checkpoint]] = {
    "as it is": lambda checkpoint: checkpoint,
    "attended expansion": changed(expansion_attended=True),
    "no expansion": changed(query_expansion=False),
    "skipped in queries": changed(skip_queries=True),
    "no start row, a mean": changed(start_row_dropped=True, mean_score=True),
    "no markers": changed(query_marker=None, document_marker=None),
    "lower-cased": changed(lower_case=True, strip=False),
    "no start and end": without_ends,
    "no start and end, marker second": lambda each: replace(without_ends(each), marker_second=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_scores_are_those_of_the_library(tiny_checkpoint: Path, change: str) -> None:
    checkpoint = CHANGES[change](read_checkpoint(tiny_checkpoint))
    module = build_encoder(checkpoint)

    def encode(windows: Any) -> list[TokenVectors]:
        return [rows_of(module, window) for window in windows]

    treatment = library_treatment(checkpoint, open_tokenizer(checkpoint.tokenizer.text, checkpoint))
    got = score_pairs(
        treatment,
        [treatment.query_window(text) for text in QUERIES],
        [treatment.document_window(text) for text in DOCUMENTS],
        encode,
    )
    library = Library(checkpoint, transformers.BertModel.from_pretrained(tiny_checkpoint))
    wanted = library.scores(QUERIES, DOCUMENTS)
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)


def rows_of(module: Any, window: Window) -> TokenVectors:
    with torch.no_grad():
        rows: TokenVectors = module(
            torch.tensor([window.ids]), torch.tensor([window.attention])
        ).numpy()[0]
    return rows


def test_a_text_of_which_no_row_scores_scores_nothing(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    treatment = library_treatment(checkpoint, open_tokenizer(checkpoint.tokenizer.text, checkpoint))
    full = Window(ids=(1, 2), attention=(1, 1), scored=(0, 1))
    empty = Window(ids=(1, 2), attention=(1, 1), scored=())

    def encode(windows: Any) -> list[TokenVectors]:
        return [np.eye(2, dtype=np.float32) for _window in windows]

    scores = score_pairs(treatment, [full, empty], [full, empty], encode)
    assert scores.tolist() == [[2.0, 0.0], [0.0, 0.0]]
