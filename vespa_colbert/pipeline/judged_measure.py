"""What a training run is judged by: a measure of rankings on judged queries that it is not fed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, unit_rows
from vespa_colbert.errors import CollectionError, SpecError
from vespa_colbert.evaluate import beir_files, cutoff, evaluate_run, parse_measures, read_judged
from vespa_colbert.pipeline.mine import document_text
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.rank.kernels import max_sim_of_queries
from vespa_colbert.train import TrainingData, read_training_data

if TYPE_CHECKING:
    from vespa_colbert.train.measure import Measure, TextVectors

__all__ = ["JudgedOptions", "JudgedTexts", "judged_measure", "read_judged_texts"]

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100")
PREFERRED = "dev"
"""The judgements that are taken where there are several and none is named: never a test's."""
ROWS_AT_ONCE = 1 << 16
"""Token vectors of documents that are scored together: 32 MiB at 128 components."""
QUERIES_AT_ONCE = 64
"""Queries that are scored together: their tokens fill the 32 that a kernel compares at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedOptions:
    """What is measured, and on what.

    Attributes:
        measures: As ir_measures has them; the first judges, the others are logged.
        documents: Documents that are ranked at most, those that are judged and others drawn at
            random; 0 for all. With fewer the numbers are higher than on the whole corpus.
        seed: Of the draw.
        cuts: Widths below the whole one at which the first measure is taken too.
        cut_normalized: Whether a cut vector is given unit length again.
    """

    measures: tuple[str, ...] = DEFAULT_MEASURES
    documents: int = 0
    seed: int = 0
    cuts: tuple[int, ...] = ()
    cut_normalized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedTexts:
    """Judged queries, and the documents that are ranked for them.

    Attributes:
        name: What messages call them.
        queries: Id → text.
        documents: Id → text.
        qrels: Query id → document id → grade; from 1 on a document answers the query.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    @property
    def digest(self) -> str:
        """Stands for all of it."""
        found = hashlib.sha256()
        for part in (self.queries, self.documents, self.qrels):
            for name, value in part.items():
                said = value if isinstance(value, str) else sorted(value.items())
                found.update(repr((name, said)).encode())
            found.update(b"\0")
        return found.hexdigest()

    def limited(self, most: int, seed: int) -> JudgedTexts:
        """Return the texts with so many documents at most; those that are judged stay."""
        if not most or len(self.documents) <= most:
            return self
        judged = {name for grades in self.qrels.values() for name in grades}
        others = [name for name in self.documents if name not in judged]
        count = max(0, most - len(judged))
        drawn = np.random.default_rng(seed).choice(len(others), count, replace=False)
        kept = judged | {others[place] for place in drawn}
        documents = {name: text for name, text in self.documents.items() if name in kept}
        return JudgedTexts(
            name=self.name, queries=self.queries, documents=documents, qrels=self.qrels
        )


def read_judged_texts(
    path: Path,
    *,
    split: str = "",
    queries: Mapping[str, str] | None = None,
    documents: Mapping[str, str] | None = None,
) -> JudgedTexts:
    """Return judged queries and documents of a folder in BEIR's form, or of a file of rows.

    Of rows, every document of the file is ranked for each query; its positives answer it.

    Args:
        path: The folder, or the file.
        split: Name of the folder's judgements; ``dev``, or the only ones there are, when empty.
        queries: Id → text, for rows with ids.
        documents: Id → text, for rows with ids.

    Raises:
        CollectionError: If there is neither, a line is bad, or it is not clear which judgements are
            meant.
        SpecError: If judgements are named for a file of rows.
    """
    if not path.is_dir():
        if split:
            raise SpecError(f"{path}: judgements {split!r} are named, and this is no folder")
        return _of_rows(path, read_training_data(path, queries=queries, documents=documents))
    found = sorted(each.stem for each in (path / "qrels").glob("*.tsv"))
    if not split and len(found) > 1 and PREFERRED not in found:
        raise CollectionError(
            f"{path}: expected qrels/{PREFERRED}.tsv, or the name of the judgements, found "
            f"{', '.join(found)}: name those that are no test"
        )
    judged = read_judged(beir_files(path, split or (PREFERRED if PREFERRED in found else "")))
    return JudgedTexts(
        name=str(judged.files.qrels),
        queries=judged.queries,
        documents={each.id: document_text(each) for each in judged.documents},
        qrels=judged.qrels,
    )


def _of_rows(path: Path, data: TrainingData) -> JudgedTexts:
    return JudgedTexts(
        name=str(path),
        queries={str(place): text for place, text in enumerate(data.queries)},
        documents={str(place): text for place, text in enumerate(data.documents)},
        qrels={
            str(query): {str(place): 1 for place in sorted(answers)}
            for query, answers in data.positives.items()
        },
    )


def judged_measure(
    judged: JudgedTexts, options: JudgedOptions, reporter: Reporter | None = None
) -> Measure:
    """Return the measures of rankings by MaxSim of float vectors, as a run asks for them.

    Documents are ranked by the kernel that ranks by ``max_sim_float`` of a package.

    Args:
        judged: What is ranked.
        options: Which measures.
        reporter: Hears of documents that are encoded for the first time.

    Raises:
        CollectionError: If a measure is unknown, or there are fewer than two documents.
        MissingExtraError: If ir_measures is not installed.
    """
    from vespa_colbert.train.measure import Measure

    parse_measures(options.measures)
    texts = judged.limited(options.documents, options.seed)
    if len(texts.documents) < 2:
        raise CollectionError(f"{judged.name}: expected two documents at least to rank")
    tell = reporter or Silent()

    def prepare(vectors: TextVectors) -> None:
        with tell.track("rows of judged documents", len(texts.documents)) as progress:
            vectors.prepare(list(texts.documents.values()), progress)

    def values(vectors: TextVectors) -> dict[str, float]:
        return _values(texts, options, vectors)

    said = repr((options.measures, options.cuts, options.cut_normalized))
    return Measure(
        name=options.measures[0],
        value=values,
        at_start=True,
        digest=hashlib.sha256(f"{texts.digest} {said}".encode()).hexdigest(),
        prepare=prepare,
    )


def _values(judged: JudgedTexts, options: JudgedOptions, vectors: TextVectors) -> dict[str, float]:
    """Return the measures of a model, and the first one of its cut vectors."""
    queries = vectors.queries(list(judged.queries.values()))
    widths = (None, *options.cuts)
    scores = {width: np.empty((len(queries), len(judged.documents))) for width in widths}
    first = 0
    for part in _gathered(vectors.document_parts(list(judged.documents.values()))):
        span = slice(first, first + len(part))
        for width in widths:
            cut = _cutter(width, normalized=options.cut_normalized)
            scores[width][:, span] = _scores([cut(q) for q in queries], list(map(cut, part)))
        first += len(part)
    found: dict[str, float] = {}
    for width in widths:
        names = options.measures if width is None else options.measures[:1]
        means = evaluate_run(judged.qrels, _run(judged, scores[width], names), names).means
        suffix = "" if width is None else f" at {width}"
        found |= {f"{name}{suffix}": means[name] for name in names}
    return found


def _cutter(width: int | None, *, normalized: bool) -> Callable[[TokenVectors], TokenVectors]:
    """Return what makes vectors as wide as they are scored."""

    def cut(rows: TokenVectors) -> TokenVectors:
        if width is None:
            return rows
        kept: TokenVectors = np.ascontiguousarray(rows[:, :width])
        return unit_rows(kept) if normalized else kept

    return cut


def _gathered(parts: Iterable[list[TokenVectors]]) -> Iterator[list[TokenVectors]]:
    """Yield documents of several parts together, as many as are scored at once."""
    held: list[TokenVectors] = []
    for part in parts:
        held += part
        if sum(map(len, held)) >= ROWS_AT_ONCE:
            yield held
            held = []
    if held:
        yield held


def _scores(
    queries: Sequence[TokenVectors], documents: Sequence[TokenVectors]
) -> NDArray[np.float64]:
    """Return the score of every query and document: (query, document)."""
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in documents], dtype=np.int64)))
    rows = np.concatenate(documents)
    asked = list(map(np.ascontiguousarray, queries))
    starts = range(0, len(asked), QUERIES_AT_ONCE)
    return np.concatenate([
        max_sim_of_queries(asked[start : start + QUERIES_AT_ONCE], rows, offsets)
        for start in starts
    ])


def _run(
    judged: JudgedTexts, scores: NDArray[np.float64], measures: Sequence[str]
) -> dict[str, list[str]]:
    """Return query id → ids of the best documents, as many as the measures look at."""
    names = list(judged.documents)
    depth = max(cutoff(each) or len(names) for each in measures)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    return {
        query: [names[place] for place in row]
        for query, row in zip(judged.queries, order.tolist(), strict=True)
    }
