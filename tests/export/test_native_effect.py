"""Effects of single differences, each against scores that the test computes its own way."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.library_scores import Library, Rows
from tests.tiny_checkpoint import IDS, POSITIONS
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.export.differences import POINTS, Subject, points_of
from vespa_colbert.export.native_effect import measure_effects, sample_texts
from vespa_colbert.export.packaging import choose_packaging
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES
from vespa_colbert.export.tokenizer_file import exact_tokenizer_text, open_tokenizer, tokenizer_text
from vespa_colbert.model import build_encoder, build_exact_encoder

Change = Callable[[Checkpoint], Checkpoint]

FIGURE_ROUNDING = 2e-5
"""float32 rounding of rows, 1e-6 each, over the ten rows of a query, relative to its score."""

TOUCHED = 1e-6
"""A smaller change is rounding: unchanged windows have equal rows on both sides."""


def figures(library: Rows, vespa: Rows) -> dict[str, float]:
    """Return what there is to say of two tables of scores, pair by pair."""
    changes, touched, ordinary, moved = [], 0, 0, 0
    for query, (wanted, got) in enumerate(zip(library, vespa, strict=True)):
        for document, (left, right) in enumerate(zip(wanted, got, strict=True)):
            changes.append(abs(right - left) / abs(left))
            touched += changes[-1] > TOUCHED
            is_ordinary = query < len(SAMPLE_QUERIES) and document < len(SAMPLE_PASSAGES)
            ordinary += changes[-1] > TOUCHED and is_ordinary
        moved += max(got) - got[int(np.argmax(wanted))] > TOUCHED * max(got)
    return {
        "queries": len(library),
        "documents": len(library[0]),
        "touched": touched,
        "largest": max(changes),
        "mean": sum(changes) / len(changes),
        "best_changed": moved / len(library),
        "ordinary_pairs": len(SAMPLE_QUERIES) * len(SAMPLE_PASSAGES),
        "ordinary_touched": ordinary,
    }


def subject_of(checkpoint: Checkpoint) -> Subject:
    return Subject(
        checkpoint=checkpoint, tokenizer=open_tokenizer(checkpoint.tokenizer.text, checkpoint)
    )


def measured(checkpoint: Checkpoint, packaging: Any = "native") -> dict[str, Any]:
    """Return point → what is reported of it."""
    exact = packaging == "exact"
    text = exact_tokenizer_text(checkpoint) if exact else tokenizer_text(checkpoint.tokenizer.text)
    report = measure_effects(checkpoint, packaging, build_encoder(checkpoint), text)
    points = points_of(subject_of(checkpoint), packaging)
    named = zip(points, report["points"], strict=True)
    return {point.name: effect for point, effect in named} | {"total": report["total"]}


def texts_of(checkpoint: Checkpoint, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the queries and the documents on which a point is measured."""
    subject = subject_of(checkpoint)
    shown = sample_texts(
        subject, tuple(each for each in POINTS if each.name == name and (each.applies(subject)))
    )
    return (*SAMPLE_QUERIES, *shown), (*SAMPLE_PASSAGES, *shown)


def equal(got: dict[str, Any], wanted: dict[str, float]) -> None:
    assert got["not_measured"] == ""
    assert got["effect"] == pytest.approx(wanted, abs=FIGURE_ROUNDING, rel=0)


class DroppingFirst(Library):
    """A library that leaves ids out of documents before its encoder, and cuts later."""

    dropped: frozenset[int] = frozenset()
    uncounted: frozenset[int] = frozenset()

    def rows(self, text: str, *, query: bool) -> Rows:
        if query:
            return super().rows(text, query=True)
        facts = self.facts
        assert facts.document_marker is not None
        self.tokenizer.no_truncation()
        ids, counted = [], 0
        for token in self.tokenizer.encode(text.strip(), add_special_tokens=False).ids:
            counted += token not in self.uncounted
            if counted > facts.max_document_tokens - 3:
                break
            ids += [] if token in self.dropped else [token]
        ids = [IDS["[CLS]"], facts.document_marker.id, *ids, IDS["[SEP]"]]
        rows = self.encode(ids, [1] * len(ids))
        return rows[[place for place, token in enumerate(ids) if token not in facts.skip_ids]]


@pytest.fixture(scope="module", name="model")
def model_fixture(tiny_checkpoint: Path) -> Iterator[Any]:
    """The encoder as transformers loads it; one thread is the fastest for so small a one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield transformers.BertModel.from_pretrained(tiny_checkpoint)
    torch.set_num_threads(threads)


def facts(**changed: Any) -> Change:
    return lambda checkpoint: replace(checkpoint, **changed)


def without_lower_case(checkpoint: Checkpoint) -> Checkpoint:
    document = json.loads(checkpoint.tokenizer.text)
    document["normalizer"]["lowercase"] = False
    inside = replace(checkpoint.tokenizer, text=json.dumps(document), lower_cases=False)
    return replace(checkpoint, tokenizer=inside, lower_case=True)


def with_kept_space(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with a tokenizer for which white space is a letter like others."""
    document = json.loads(checkpoint.tokenizer.text)
    document["normalizer"]["clean_text"] = False
    document["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": r"[a-z]+| |\p{P}"}} | {
        "behavior": "Isolated",
        "invert": False,
    }
    inside = replace(checkpoint.tokenizer, text=json.dumps(document))
    return replace(checkpoint, tokenizer=inside)


@pytest.mark.parametrize(
    ("point", "change", "in_vespa"),
    [
        (
            "attention to expansion tokens",
            facts(expansion_attended=True),
            facts(expansion_attended=False),
        ),
        (
            "skip words in queries",
            facts(skip_queries=True),
            facts(skip_queries=False),
        ),
        (
            "row of the start token",
            facts(start_row_dropped=True),
            facts(start_row_dropped=False),
        ),
        ("score", facts(mean_score=True), facts(mean_score=False)),
        ("lower-casing", without_lower_case, facts(lower_case=False)),
        ("white space around a text", with_kept_space, facts(strip=False)),
    ],
)
def test_the_effect_of_a_fact_is_that_of_a_library_without_it(
    tiny_checkpoint: Path, model: Any, point: str, change: Change, in_vespa: Change
) -> None:
    plain = read_checkpoint(tiny_checkpoint)
    checkpoint = change(plain)
    texts = texts_of(checkpoint, point)
    library = Library(checkpoint, model).scores(*texts)
    vespa = Library(in_vespa(checkpoint), model).scores(*texts)
    found = measured(checkpoint)
    equal(found[point], figures(library, vespa))
    assert found[point]["effect"]["touched"] > 0
    assert found["total"]["effect"]["touched"] > 0
    assert point not in measured(plain)


def punctuation() -> frozenset[int]:
    return frozenset(IDS[each] for each in string.punctuation)


def test_the_effect_of_punctuation_is_that_of_leaving_it_out_before(
    tiny_checkpoint: Path, model: Any
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    texts = texts_of(checkpoint, "punctuation")
    library, vespa = Library(checkpoint, model), DroppingFirst(checkpoint, model)
    vespa.dropped = punctuation()
    found = measured(checkpoint)["punctuation"]
    equal(found, figures(library.scores(*texts), vespa.scores(*texts)))
    assert found["effect"]["ordinary_touched"] > 0


def test_the_effect_of_other_skip_words_is_that_of_vespas_punctuation(
    tiny_checkpoint: Path, model: Any
) -> None:
    plain = read_checkpoint(tiny_checkpoint)
    words = ("rose", "is", "a", ",")
    checkpoint = replace(plain, skip_words=words, skip_ids=plain.tokenizer.ids(words))
    texts = texts_of(checkpoint, "punctuation")
    vespa = DroppingFirst(replace(checkpoint, skip_ids=()), model)
    vespa.dropped = punctuation()
    wanted = figures(Library(checkpoint, model).scores(*texts), vespa.scores(*texts))
    found = measured(checkpoint)["punctuation"]
    equal(found, wanted)
    assert found["effect"]["touched"] > measured(plain)["punctuation"]["effect"]["touched"]


def test_the_effect_on_long_documents_is_that_of_a_later_end(
    tiny_checkpoint: Path, model: Any
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    texts = texts_of(checkpoint, "end of long documents")
    library, vespa = Library(checkpoint, model), DroppingFirst(checkpoint, model)
    vespa.uncounted = punctuation()
    found = measured(checkpoint)["end of long documents"]
    equal(found, figures(library.scores(*texts), vespa.scores(*texts)))
    assert found["effect"]["touched"] > 0


def test_the_effect_of_dropped_unknown_tokens_is_that_of_their_rows(
    tiny_checkpoint: Path, model: Any
) -> None:
    plain = read_checkpoint(tiny_checkpoint)
    document = json.loads(plain.tokenizer.text)
    # Vespa takes "~" for the unknown token then, and drops every one.
    document["model"]["vocab"].pop("~")
    kept = tuple(token for token in plain.skip_ids if token != IDS["~"])
    inside = replace(plain.tokenizer, text=json.dumps(document))
    checkpoint = replace(plain, tokenizer=inside, skip_ids=kept)
    texts = texts_of(checkpoint, "tokens of punctuation")
    vespa = replace(checkpoint, skip_ids=(*kept, IDS["[UNK]"]))
    wanted = figures(
        Library(checkpoint, model).scores(*texts), Library(vespa, model).scores(*texts)
    )
    found = measured(checkpoint)
    equal(found["tokens of punctuation"], wanted)
    assert found["tokens of punctuation"]["effect"]["touched"] > 0
    assert "tokens of punctuation" not in measured(plain)


@pytest.mark.parametrize(
    ("point", "in_vespa"),
    [
        ("a text that is one ASCII punctuation character", {"?": "", ".": ""}),
        (
            "a text that spells an added token",
            {"[MASK].": "[MASK]", "What is [MASK]?": "What is [MASK]"},
        ),
    ],
)
def test_what_exact_files_do_not_reach_is_what_odd_texts_lose(
    tiny_checkpoint: Path, model: Any, point: str, in_vespa: dict[str, str]
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    queries, documents = texts_of(checkpoint, point)
    assert in_vespa.keys() <= set(queries)
    library = Library(checkpoint, model)
    vespa = library.scores(
        [in_vespa.get(each, each) for each in queries],
        [in_vespa.get(each, each) for each in documents],
    )
    found = measured(checkpoint, "exact")[point]
    equal(found, figures(library.scores(queries, documents), vespa))
    assert found["effect"]["touched"] > 0
    assert found["effect"]["ordinary_touched"] == 0


def test_a_tokenizer_without_added_tokens_cannot_spell_one(tiny_checkpoint: Path) -> None:
    plain = read_checkpoint(tiny_checkpoint)
    document = json.loads(plain.tokenizer.text) | {"added_tokens": []}
    checkpoint = replace(plain, tokenizer=replace(plain.tokenizer, text=json.dumps(document)))
    names = [each.name for each in points_of(subject_of(checkpoint), "exact")]
    assert names == ["a text that is one ASCII punctuation character"]


def test_nothing_to_drop_leaves_long_documents_and_punctuation_as_they_are(
    tiny_checkpoint: Path,
) -> None:
    plain = read_checkpoint(tiny_checkpoint)
    inside = replace(plain.tokenizer, text=exact_tokenizer_text(plain))
    checkpoint = replace(plain, tokenizer=inside, skip_words=(), skip_ids=())
    assert choose_packaging(checkpoint, "native").differences == ()


def test_a_model_without_markers_has_no_figures_and_says_why(m3: Checkpoint) -> None:
    found = measured(m3)
    assert found["marker"]["effect"] is None
    assert "no token that Vespa's embedder could insert" in found["marker"]["not_measured"]
    assert found["total"] == found["marker"]
    assert found["row of the start token"]["effect"]["touched"] > 0
    assert measured(m3, "exact")["total"]["effect"]["ordinary_touched"] == 0


def test_a_document_longer_than_any_sample_is_not_measured(tiny_checkpoint: Path) -> None:
    checkpoint = replace(read_checkpoint(tiny_checkpoint), max_document_tokens=8192)
    (point,) = (each for each in POINTS if each.name == "end of long documents")
    reason = "a document may have 8192 tokens, and the sample texts are shorter"
    assert point.alone(subject_of(checkpoint)) == reason


def test_a_window_longer_than_the_encoder_is_not_measured(tiny_checkpoint: Path) -> None:
    checkpoint = replace(read_checkpoint(tiny_checkpoint), max_document_tokens=POSITIONS)
    found = measured(checkpoint)
    alone = found["end of long documents"]
    assert alone["effect"] is None
    assert f"tokens to an encoder of {POSITIONS}" in alone["not_measured"]
    # Vespa as a whole has left the punctuation out, so that its windows fit.
    assert found["total"]["effect"]["touched"] > 0


def test_an_exact_module_is_measured_by_the_plain_encoder_inside(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    text = exact_tokenizer_text(checkpoint)
    plain = measure_effects(checkpoint, "exact", build_encoder(checkpoint), text)
    assert measure_effects(checkpoint, "exact", build_exact_encoder(checkpoint), text) == plain


def test_every_point_of_a_packaging_has_words_of_its_own() -> None:
    names = [(each.packaging, each.name) for each in POINTS]
    twice = {each for each in names if names.count(each) > 1}
    # The library's skip words are Vespa's or not: one of the two applies.
    assert twice == {("native", "punctuation")}
