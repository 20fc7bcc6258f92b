from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from tests.library_scores import Library, Rows
from tests.tiny_checkpoint import DIM, IDS, edit_json
from vespa_colbert.checkpoint import Checkpoint, Marker, read_checkpoint
from vespa_colbert.model import build_exact_encoder, role_ids

ROUNDING = 2e-5
"""float32 rounding of rows, 2e-6 each, over the ten rows of a query."""

QUERIES = ("rose", "what is a rose, is it", "x y z " * 9, "", "?!", "(a) b!")
DOCUMENTS = (*QUERIES, "a rose is a rose. is it a rose? it is!", "... --- ...", "a" * 40)


class Embedder:
    """Vespa's embedder around an exact module, given an empty skip set."""

    def __init__(self, checkpoint: Checkpoint, dims: int | None = None) -> None:
        self.facts, self.module = checkpoint, build_exact_encoder(checkpoint, dims=dims)
        self.tokenizer = Tokenizer.from_str(checkpoint.tokenizer.text)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def rows(self, text: str, *, query: bool) -> Rows:
        """Return the rows that it emits."""
        facts = self.facts
        limit = facts.max_query_tokens if query else facts.max_document_tokens
        limit += [facts.query_marker, facts.start_id, facts.end_id].count(None)
        tokens = self.tokenizer.encode(text, add_special_tokens=False).ids[: limit - 3]
        # The graph takes an id out that stands for a token the model does not have.
        start, end = (5 if each is None else each for each in (facts.start_id, facts.end_id))
        ids = [start, role_ids(facts)[not query], *tokens, end]
        attention, emitted = [1] * len(ids), len(ids)
        if query:
            ids += [facts.mask_id] * (limit - len(ids))
            attention += [0] * (limit - len(attention))
            emitted = limit if facts.query_expansion else emitted
        with torch.no_grad():
            rows = self.module(torch.tensor([ids]), torch.tensor([attention]))[0].numpy()
        found: Rows = rows[:emitted].astype(np.float64)
        return found

    def scores(self) -> Rows:
        """Return the sums of maxima, (query, document)."""
        documents = [self.rows(text, query=False) for text in DOCUMENTS]
        queries = [self.rows(text, query=True) for text in QUERIES]
        return np.array([[(q @ d.T).max(axis=1).sum() for d in documents] for q in queries])


UNMARKED: dict[str, Any] = {"query_marker": None, "document_marker": None}
SAME = Marker(text="[unused1]", id=2)
VARIANTS: dict[str, dict[str, Any]] = {
    "classic": {},
    "attended": {"expansion_attended": True},
    "no expansion": {"query_expansion": False},
    "skipped in queries": {"skip_queries": True},
    "mean": {"mean_score": True, "skip_queries": True},
    "mean without expansion": {"mean_score": True, "query_expansion": False},
    "other skip words": {"skip_words": ("rose",), "skip_ids": (IDS["rose"],)},
    "end and mask skipped": {
        "skip_ids": (IDS["[SEP]"], IDS["[MASK]"], IDS["."]),
        "skip_queries": True,
    },
    "nothing skipped": {"skip_words": (), "skip_ids": ()},
    "no start row": {"start_row_dropped": True},
    "no markers": UNMARKED,
    "no markers, attended": {**UNMARKED, "expansion_attended": True},
    "like M3": {
        **UNMARKED,
        "start_row_dropped": True,
        "mean_score": True,
        "query_expansion": False,
        "skip_ids": (),
    },
    "one marker for both": {"query_marker": SAME, "document_marker": SAME, "skip_queries": True},
}


BARE: dict[str, dict[str, Any]] = {
    "no start token": {"start_id": None, "marker_second": False},
    "no start token, marker second": {"start_id": None},
    "no start token, marker second, no expansion": {"start_id": None, "query_expansion": False},
    "no end token": {"end_id": None, "skip_queries": True},
    "neither, attended": {"start_id": None, "end_id": None, "expansion_attended": True},
    "neither, marker second": {"start_id": None, "end_id": None},
    "neither": {"start_id": None, "end_id": None, "marker_second": False},
    "neither, no expansion": {"start_id": None, "end_id": None, "query_expansion": False},
    "start token alone": {"end_id": None, **UNMARKED, "mean_score": True},
    "end token alone": {"start_id": None, **UNMARKED},
    "one marker for both": {"start_id": None, "query_marker": SAME, "document_marker": SAME},
}


def bare(checkpoint: Checkpoint, **facts: Any) -> Checkpoint:
    """Return a checkpoint whose tokenizer puts fewer tokens around a text."""
    document = json.loads(checkpoint.tokenizer.text)
    start, text, end = document["post_processor"]["single"]
    pieces = [start, text, end]
    for role, piece in (("start_id", start), ("end_id", end)):
        if facts.get(role, 0) is None:
            pieces.remove(piece)
    document["post_processor"]["single"] = pieces
    tokenizer = replace(checkpoint.tokenizer, text=json.dumps(document))
    return replace(checkpoint, tokenizer=tokenizer, **facts)


@pytest.mark.parametrize("variant", BARE)
def test_columns_that_a_model_does_not_have_are_taken_out(
    tiny_checkpoint: Path, variant: str
) -> None:
    checkpoint = bare(read_checkpoint(tiny_checkpoint), **BARE[variant])
    library = Library(checkpoint, transformers.BertModel.from_pretrained(tiny_checkpoint))
    wanted = library.scores(QUERIES, DOCUMENTS)
    np.testing.assert_allclose(Embedder(checkpoint).scores(), wanted, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_of_all_rows_are_the_librarys(tiny_checkpoint: Path, variant: str) -> None:
    checkpoint = replace(read_checkpoint(tiny_checkpoint), **VARIANTS[variant])
    library = Library(checkpoint, transformers.BertModel.from_pretrained(tiny_checkpoint))
    wanted = library.scores(QUERIES, DOCUMENTS)
    np.testing.assert_allclose(Embedder(checkpoint).scores(), wanted, atol=ROUNDING, rtol=0)


def test_fewer_dims_are_normalised_again(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    model = transformers.BertModel.from_pretrained(tiny_checkpoint)
    wanted = Library(checkpoint, model, dims=3).scores(QUERIES, DOCUMENTS)
    got = Embedder(checkpoint, dims=3).scores()
    np.testing.assert_allclose(got, wanted, atol=ROUNDING, rtol=0)
    assert np.abs(got - Embedder(checkpoint).scores()).max() > 1


def test_a_text_does_not_depend_on_its_batch(tiny_checkpoint: Path) -> None:
    checkpoint = replace(
        read_checkpoint(tiny_checkpoint), expansion_attended=True, skip_queries=True
    )
    module = build_exact_encoder(checkpoint)
    query, document = role_ids(checkpoint)
    ids = torch.randint(0, len(IDS), (4, 9), generator=torch.Generator().manual_seed(1))
    ids[:, 1] = torch.tensor([query, document, query, document])
    attention = torch.ones(4, 9, dtype=torch.int64)
    attention[2, 4:] = 0
    together = module(ids, attention)
    for place in range(4):
        alone = module(ids[place : place + 1], attention[place : place + 1])
        np.testing.assert_allclose(together[place], alone[0], atol=2e-6, rtol=0)


def test_padding_moves_no_maximum_of_a_document(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    module = build_exact_encoder(checkpoint)
    ids = torch.tensor([[IDS["[CLS]"], 2, IDS["rose"], IDS["."], IDS["[SEP]"], 0, 0]])
    attention = (torch.arange(7) < 5).to(torch.int64)[None, :]
    padded = module(ids, attention)[0].numpy()
    plain = module(ids[:, :5], attention[:, :5])[0].numpy()
    directions = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    np.testing.assert_allclose(
        (directions @ padded.T).max(axis=1), (directions @ plain.T).max(axis=1), atol=2e-5
    )
    # The rows of the full stop and of the padding are copies.
    assert len(np.unique(padded, axis=0)) == 4


def test_row_lengths_are_those_of_the_rows(tiny_checkpoint: Path) -> None:
    checkpoint = replace(
        read_checkpoint(tiny_checkpoint), mean_score=True, skip_queries=True, query_expansion=False
    )
    module = build_exact_encoder(checkpoint)
    ids = torch.tensor([[IDS["[CLS]"], 1, IDS["rose"], IDS["."], IDS["[SEP]"], IDS["[MASK]"]]])
    attention = torch.tensor([[1, 1, 1, 1, 1, 0]])
    wanted = [[0.25, 0.25, 0.25, 0.0, 0.25, 0.0]]
    assert module.row_lengths(ids, attention).tolist() == wanted
    rows = module(ids, attention).numpy()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=2), wanted, atol=1e-6)


def test_roles_are_the_models_markers_where_they_differ(tiny_checkpoint: Path, copy: Any) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    assert role_ids(checkpoint) == (IDS["[unused0]"], IDS["[unused1]"])
    folder = copy()
    edit_json(folder / "config_sentence_transformers.json", document_prefix="[unused0]")
    same = role_ids(read_checkpoint(folder))
    assert same[0] != same[1]
    unmarked = role_ids(replace(checkpoint, query_marker=None, document_marker=None))
    assert unmarked[0] != unmarked[1]
