"""Where Vespa's embedder differs from the training library: a row for every point.

A row says when its point applies, what both sides do, and how to give the library's treatment of
texts this one habit of Vespa's, so that the effect of the point can be measured alone.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.export.options import Packaging
from vespa_colbert.export.samples import SAMPLE_PASSAGES
from vespa_colbert.export.tokenizer_file import lone_punctuation_ids
from vespa_colbert.export.treatment import (
    Treatment,
    exact_treatment,
    library_treatment,
    native_treatment,
)

__all__ = ["POINTS", "Difference", "Point", "Subject", "points_of"]

LONGEST_SAMPLE = 1024
"""Tokens of the longest text that is worth encoding for a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A point in which Vespa's embedder does not do what the training library does.

    Attributes:
        point: What differs.
        library: What the training library does.
        vespa: What Vespa's embedder does with the files of a packaging.
        faithful: Whether the packaging is nevertheless taken unasked: scores are those of the model
            up to the context that removed punctuation gave to the other tokens and the place where
            a long document ends, or only texts of an odd form are concerned.
    """

    point: str
    library: str
    vespa: str
    faithful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A checkpoint, and its tokenizer where that can be run.

    Attributes:
        checkpoint: The model.
        tokenizer: Opened, without truncation and padding; None where tokenizers is not installed,
            which hides the points that show only when it runs.
        written_tokenizer: The same of the file that Vespa is to read; None where none is made.
    """

    checkpoint: Checkpoint
    tokenizer: Any = None
    written_tokenizer: Any = None

    @property
    def skips_ascii_punctuation(self) -> bool:
        """Whether the library leaves out rows of the very words that Vespa's embedder drops."""
        return sorted(self.checkpoint.skip_words) == sorted(string.punctuation)

    @property
    def library(self) -> Treatment:
        """What the library does."""
        return library_treatment(self.checkpoint, self.tokenizer)

    @property
    def dropped_ids(self) -> frozenset[int]:
        """The ids that Vespa's embedder drops from documents."""
        return lone_punctuation_ids(self.tokenizer)

    def in_vespa(self, packaging: Packaging) -> Treatment | str:
        """Return what Vespa's embedder does as a whole, or why that cannot be measured."""
        if packaging == "exact":
            return self.exact()
        if _without_marker(self) or _without_end(self):
            return NOTHING_TO_INSERT
        return native_treatment(self.library, self.dropped_ids)

    def exact(self) -> Treatment:
        """Return what Vespa's embedder does with exact files."""
        return exact_treatment(self.library, self.written_tokenizer)


Words: TypeAlias = "str | Callable[[Subject], str]"
Texts: TypeAlias = Callable[[Subject], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row of the table.

    Attributes:
        name: What differs.
        packaging: The packaging in which it does.
        applies: Whether it does for a checkpoint.
        library: What the training library does.
        vespa: What Vespa's embedder does.
        faithful: As in ``Difference``.
        alone: The library's treatment with this point as in Vespa and nothing else, or why there is
            none.
        texts: Texts on which the point shows, beside the ordinary samples.
    """

    name: str
    packaging: Packaging
    applies: Callable[[Subject], bool]
    library: Words
    vespa: Words
    faithful: bool
    alone: Callable[[Subject], Treatment | str]
    texts: Texts = lambda _subject: ()

    def difference(self, subject: Subject) -> Difference:
        """Return what the row says of a checkpoint."""
        library, vespa = (
            words if isinstance(words, str) else words(subject)
            for words in (self.library, self.vespa)
        )
        return Difference(point=self.name, library=library, vespa=vespa, faithful=self.faithful)


def points_of(subject: Subject, packaging: Packaging) -> tuple[Point, ...]:
    """Return the points that apply to a checkpoint in a packaging."""
    return tuple(
        point for point in POINTS if point.packaging == packaging and point.applies(subject)
    )


NOTHING_TO_INSERT = "the model has no token that Vespa's embedder could insert: no native files"


def _without_marker(subject: Subject) -> bool:
    facts = subject.checkpoint
    return facts.query_marker is None or facts.document_marker is None


def _without_end(subject: Subject) -> bool:
    return None in {subject.checkpoint.start_id, subject.checkpoint.end_id}


def _ends_in_words(subject: Subject) -> str:
    ends = {"start": subject.checkpoint.start_id, "end": subject.checkpoint.end_id}
    return f"no {' and no '.join(name for name, token in ends.items() if token is None)} token"


def _other_skip_words(subject: Subject) -> bool:
    """Return whether the library skips other words, unless neither side leaves anything out."""
    nothing = subject.tokenizer is not None and not (
        subject.checkpoint.skip_ids or subject.dropped_ids
    )
    return not (subject.skips_ascii_punctuation or nothing)


def _other_punctuation_tokens(subject: Subject) -> bool:
    """Return whether lone punctuation has other ids than the library's skip words.

    Source: the constructor of ColBertEmbedder, Vespa 8.700.24.
    """
    if subject.tokenizer is None or not subject.skips_ascii_punctuation:
        return False  # Without the words, the ids differ anyway: a point of its own.
    return subject.dropped_ids != frozenset(subject.checkpoint.skip_ids)


def _left_out(subject: Subject, *, vespa: bool) -> str:
    """Return which tokens one side leaves out of documents and the other does not."""
    ours, theirs = subject.dropped_ids, frozenset(subject.checkpoint.skip_ids)
    names = {place: token for token, place in subject.checkpoint.tokenizer.vocabulary.items()}
    more = ours - theirs if vespa else theirs - ours
    listed = " ".join(names.get(each, str(each)) for each in sorted(more))
    return f"left out of documents, and {listed} too" if listed else "left out of documents"


def _punctuation_dropped_first(subject: Subject) -> Treatment:
    library = subject.library
    return replace(
        library, left_out_ids=library.skip_document_ids, skip_document_ids=frozenset[int]()
    )


def _cut_later(subject: Subject) -> Treatment | str:
    limit = subject.checkpoint.max_document_tokens
    if limit > LONGEST_SAMPLE:
        return f"a document may have {limit} tokens, and the sample texts are shorter"
    return replace(subject.library, uncounted_ids=subject.dropped_ids)


def _long_texts(subject: Subject) -> tuple[str, ...]:
    """Return two texts that go on behind the end of a document, with and without punctuation."""
    wanted = 2 * min(subject.checkpoint.max_document_tokens, LONGEST_SAMPLE)
    texts = []
    for passages in (SAMPLE_PASSAGES, SAMPLE_PASSAGES[::-1]):
        text = " ".join(passages)
        tokens = len(subject.tokenizer.encode(text, add_special_tokens=False).ids)
        texts.append(" ".join([text] * (wanted // max(tokens, 1) + 1)))
    return tuple(texts)


def _skip_word_texts(subject: Subject) -> tuple[str, ...]:
    words = subject.checkpoint.skip_words
    if not words:
        return ()
    # Short enough for any query, and some of all words.
    return f"{words[0]} and {words[-1]}", f"How is it with {' '.join(words[:16])} here?"


def _spelled_token(subject: Subject) -> str | None:
    """Return an added token that the tokenizer finds before the normalizer, None without one."""
    added = json.loads(subject.checkpoint.tokenizer.text).get("added_tokens") or ()
    tokens: Mapping[int, str] = {
        each["id"]: each["content"] for each in added if not each.get("normalized", True)
    }
    return tokens.get(subject.checkpoint.mask_id) or next(iter(tokens.values()), None)


def _spelling_texts(subject: Subject) -> tuple[str, ...]:
    token = _spelled_token(subject)
    return (f"{token}.", f"What is {token}?", f"The answer is {token} ; not more") if token else ()


POINTS = (
    Point(
        name="marker",
        packaging="native",
        applies=_without_marker,
        library="none",
        vespa="always inserted after the start",
        faithful=False,
        alone=lambda _subject: NOTHING_TO_INSERT,
    ),
    Point(
        name="tokens around a text",
        packaging="native",
        applies=_without_end,
        library=_ends_in_words,
        vespa="a start and an end token around every text",
        faithful=False,
        alone=lambda _subject: NOTHING_TO_INSERT,
    ),
    Point(
        name="attention to expansion tokens",
        packaging="native",
        applies=lambda subject: subject.checkpoint.expansion_attended,
        library="the query's tokens attend to them",
        vespa="never",
        faithful=False,
        alone=lambda subject: replace(subject.library, expansion_attended=False),
        # Short enough for an expansion whatever the tokenizer makes of them.
        texts=lambda _subject: ("bees", "tides"),
    ),
    Point(
        name="punctuation",
        packaging="native",
        applies=lambda subject: subject.skips_ascii_punctuation,
        library="encoded, its rows left out of documents after",
        vespa=(
            "left out of documents before encoding, so that their neighbours' context changes; a "
            "document '?' is encoded like an empty one"
        ),
        faithful=True,
        alone=_punctuation_dropped_first,
        texts=lambda _subject: ("Wait... (no!) - why?!",),
    ),
    Point(
        name="punctuation",
        packaging="native",
        applies=_other_skip_words,
        library=lambda subject: (
            f"rows left out of documents: {' '.join(subject.checkpoint.skip_words) or 'none'}"
        ),
        vespa=(
            "the 32 ASCII punctuation characters are left out of documents before encoding, so "
            "that their neighbours' context changes"
        ),
        faithful=False,
        alone=lambda subject: replace(
            subject.library,
            left_out_ids=subject.dropped_ids,
            skip_document_ids=frozenset[int](),
        ),
        texts=_skip_word_texts,
    ),
    Point(
        name="end of long documents",
        packaging="native",
        # A tokenizer that gives lone punctuation no ids leaves nothing to drop.
        applies=lambda subject: subject.tokenizer is None or bool(subject.dropped_ids),
        library=lambda subject: (
            f"cut at {subject.checkpoint.max_document_tokens} tokens, punctuation included"
        ),
        vespa="punctuation is left out first, so that a longer part of the text remains",
        faithful=True,
        alone=_cut_later,
        texts=_long_texts,
    ),
    Point(
        name="tokens of punctuation",
        packaging="native",
        applies=_other_punctuation_tokens,
        library=lambda subject: _left_out(subject, vespa=False),
        vespa=lambda subject: _left_out(subject, vespa=True),
        faithful=False,
        alone=lambda subject: replace(subject.library, skip_document_ids=subject.dropped_ids),
        texts=lambda _subject: ("The fox 🦊 ran ~ 3 km `away` ☃ & came back",),
    ),
    Point(
        name="skip words in queries",
        packaging="native",
        applies=lambda subject: subject.checkpoint.skip_queries,
        library="their rows are left out of queries too",
        vespa="every row of a query counts",
        faithful=False,
        alone=lambda subject: replace(subject.library, skip_query_ids=frozenset[int]()),
        texts=_skip_word_texts,
    ),
    Point(
        name="row of the start token",
        packaging="native",
        applies=lambda subject: subject.checkpoint.start_row_dropped,
        library="no token vector",
        vespa="a token vector like the others",
        faithful=False,
        alone=lambda subject: replace(subject.library, start_row_dropped=False),
    ),
    Point(
        name="score",
        packaging="native",
        applies=lambda subject: subject.checkpoint.mean_score,
        library="mean over the query's token vectors",
        vespa="their sum, in the profiles printed here",
        faithful=False,
        alone=lambda subject: replace(subject.library, mean_score=False),
    ),
    Point(
        name="white space around a text",
        packaging="native",
        applies=lambda subject: (
            subject.checkpoint.strip and not subject.checkpoint.tokenizer.ignores_outer_space
        ),
        library="stripped before the tokenizer",
        vespa="part of the text, which changes the first or last tokens",
        faithful=False,
        alone=lambda subject: replace(subject.library, strip=False),
        texts=lambda _subject: (" What causes the tides?\n", "\tSalt draws out the wine.  "),
    ),
    Point(
        name="lower-casing",
        packaging="native",
        applies=lambda subject: (
            subject.checkpoint.lower_case and not subject.checkpoint.tokenizer.lower_cases
        ),
        library="before the tokenizer",
        vespa="only what tokenizer.json does, which keeps case",
        faithful=False,
        alone=lambda subject: replace(subject.library, lower_case=False),
        texts=lambda _subject: ("WHAT CAUSES THE TIDES?",),
    ),
    Point(
        name="a text that is one ASCII punctuation character",
        packaging="exact",
        applies=lambda _subject: True,
        library="encoded like any other",
        vespa="encoded like an empty text, for example '?'",
        faithful=True,
        alone=Subject.exact,
        texts=lambda _subject: ("?", "."),
    ),
    Point(
        name="a text that spells an added token",
        packaging="exact",
        applies=lambda subject: _spelled_token(subject) is not None,
        library=lambda subject: f"all of {_spelling_texts(subject)[0]!r} is encoded",
        vespa=(
            "a stretch before, between or after such tokens is lost if it is one ASCII punctuation "
            "character; stripping and lower-casing that exact packaging adds are done to each "
            "stretch, not to the tokens"
        ),
        faithful=True,
        alone=Subject.exact,
        texts=_spelling_texts,
    ),
)
"""Every point, in the order in which reports name them."""
