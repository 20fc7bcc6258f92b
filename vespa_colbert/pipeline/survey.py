"""A corpus before anything of it is embedded: where its lines come from, and which are bad."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vespa_colbert.errors import CollectionError
from vespa_colbert.files import digest_file
from vespa_colbert.index import Feed, FeedFields
from vespa_colbert.index.collection import CorpusLine, corpus_lines
from vespa_colbert.pipeline.embed_request import EmbedRequest
from vespa_colbert.pipeline.embedding import NumberedDocument, SkippedLine

__all__ = ["STDIN", "Survey", "corpus_file", "survey_corpus", "surveyed_documents"]

STDIN = Path("-")
BEIR_FILE = "corpus.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A corpus read once, before anything is embedded.

    Attributes:
        documents: How many good lines it has.
        checksum: Its sha256.
        skipped: The bad lines.
    """

    documents: int
    checksum: str
    skipped: tuple[SkippedLine, ...]


@contextlib.contextmanager
def corpus_file(source: Path) -> Iterator[Path]:
    """Yield the JSON lines of a corpus: a file, that of a folder in BEIR's form, or stdin.

    What comes from stdin is kept in a temporary file while it is used: it is read twice.

    Args:
        source: ``-`` for stdin.

    Raises:
        CollectionError: If a folder has no corpus.
    """
    if source == STDIN:
        with tempfile.TemporaryDirectory(prefix="vespa-colbert-") as folder:
            path = Path(folder) / "stdin"
            with path.open("wb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
            yield path
        return
    if source.is_dir() and not (source / BEIR_FILE).is_file():
        raise CollectionError(f"{source}: expected a folder with {BEIR_FILE}, found none in it")
    yield source / BEIR_FILE if source.is_dir() else source


def survey_corpus(request: EmbedRequest) -> Survey:
    """Return what a corpus holds.

    Raises:
        CollectionError: If a line is bad and is not to be passed over, or no line is good.
    """
    documents, skipped = 0, []
    for line in _lines(request):
        if not isinstance(line.found, CollectionError):
            documents += 1
        elif request.on_error == "fail":
            raise CollectionError(f"{line.found}; --on-error skip passes over bad lines")
        else:
            reason = str(line.found).removeprefix(f"{_where(request, line)}: ")
            skipped.append(SkippedLine(line=line.number, reason=reason))
    if not documents:
        raise CollectionError(
            f"{request.corpus}: expected a good line, got {len(skipped)} bad; the first, line "
            f"{skipped[0].line}: {skipped[0].reason}"
        )
    checksum = digest_file(request.corpus).sha256
    return Survey(documents=documents, checksum=checksum, skipped=tuple(skipped))


def _lines(request: EmbedRequest) -> Iterator[CorpusLine]:
    """Yield what each line of a corpus holds; a document that Vespa would refuse is a bad line."""
    fields = FeedFields.of_schema(request.schema, namespace=request.schema.name)
    feed = Feed(documents=(), fields=fields)
    for position, line in enumerate(corpus_lines(request.corpus)):
        if not isinstance(line.found, CollectionError):
            try:
                feed.operation(position, line.found)
            except CollectionError as error:
                fault = CollectionError(f"{_where(request, line)}: {error}")
                yield replace(line, found=fault)
                continue
        yield line


def _where(request: EmbedRequest, line: CorpusLine) -> str:
    """Return what the message of a bad line begins with."""
    return f"{request.corpus} line {line.number}"


def surveyed_documents(
    request: EmbedRequest, survey: Survey, places: range, first: int = 0
) -> Iterator[NumberedDocument]:
    """Yield the good documents of a corpus that stand at some places.

    Args:
        request: The corpus.
        survey: Says which of its lines are bad.
        places: Which of the good documents.
        first: What is added to their places.

    Raises:
        CollectionError: If a line is bad that was good when the corpus was surveyed.
    """
    bad = {each.line for each in survey.skipped}
    good = (line for line in corpus_lines(request.corpus) if line.number not in bad)
    for place, line in enumerate(itertools.islice(good, places.stop)):
        if isinstance(line.found, CollectionError):
            raise line.found
        if place >= places.start:
            yield NumberedDocument(place=first + place, line=line.number, document=line.found)
