"""A head for the demo's encoder, trained: rows of open collections → a head file with its card.

The encoder stays as it is. The head begins as the principal axes of its rows, whitened in part.
Then it learns from claims, titles and questions which of many abstracts answers. In the end it is
rotated, which changes no float score, so that the signs of its components say more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from vespa_colbert.checkpoint import ReadOptions, read_checkpoint
from vespa_colbert.demo.checkpoint import (
    HEAD_CARD,
    HEAD_FILE,
    demo_origin,
    write_untrained_checkpoint,
)
from vespa_colbert.errors import CollectionError
from vespa_colbert.files import atomic_file, digest_file
from vespa_colbert.index import read_corpus, read_qrels, read_queries
from vespa_colbert.json_lines import json_object, numbered_lines
from vespa_colbert.pipeline.head import HeadRequest, make_head
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.train import TrainedModel, TrainingRequest, train_model
from vespa_colbert.train import BatchOptions, Device, HeadStart, TrainingOptions
from vespa_colbert.train.surgery import HeadMethod, HeadOptions

__all__ = [
    "SOURCES",
    "Gathered",
    "HeadSettings",
    "Source",
    "gather_rows",
    "missing_files",
    "train_demo_head",
]

ROWS_FILE, QUERIES_FILE, CORPUS_FILE = "rows.jsonl", "queries.jsonl", "corpus.jsonl"
DIM = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Training rows of one collection.

    Attributes:
        name: Of the file of rows, ``train/NAME.jsonl``.
        collection: Folder with the texts, in BEIR's form.
        licence: Of the texts.
        origin: Who made them.
        queries: File of the queries.
        titled: Whether a document's title stands before its text.
        test: Judgements; a row whose document answers one of their queries is left out.
    """

    name: str
    collection: str
    licence: str
    origin: str
    queries: str
    titled: bool = False
    test: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """What is read of a folder of collections, by name within it."""
        tests = (self.test,) if self.test else ()
        return (f"train/{self.name}.jsonl", self.queries, f"{self.collection}/corpus.jsonl", *tests)

    def document_id(self, name: str) -> str:
        """Return an id that says which form of the document's text is meant."""
        return f"{self.collection}{'-titled' if self.titled else ''}/{name}"


SCIFACT = "Wadden et al. 2020, https://github.com/allenai/scifact"
SCIFACT_TEST = "scifact/qrels/test.tsv"
SOURCES = (
    Source(
        name="scifact-claims-noleak",
        collection="scifact",
        licence="claims and judgements CC BY 4.0, abstracts ODC-By 1.0",
        origin=SCIFACT,
        queries="scifact/queries.jsonl",
        titled=True,
        test=SCIFACT_TEST,
    ),
    Source(
        name="scifact-titles",
        collection="scifact",
        licence="ODC-By 1.0",
        origin=SCIFACT,
        queries="train/scifact-titles.queries.jsonl",
        test=SCIFACT_TEST,
    ),
    Source(
        name="pubmedqa",
        collection="pubmedqa",
        licence="MIT",
        origin="Jin et al. 2019, https://github.com/pubmedqa/pubmedqa",
        queries="pubmedqa/queries.jsonl",
    ),
)
"""Claims of SciFact and titles of its abstracts, none with an abstract that answers a test claim,
and PubMedQA's questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """How the head is made.

    On held-out claims of the training rows no choice that was tried ranked surely better than an
    untrained head, so the demo keeps that one; the whitening is the best of those tried.

    Attributes:
        texts: Documents whose rows give the axes that training begins with.
        whitening: How far axes that hold little are made larger, see ``HeadOptions``.
        epochs: How often every row is seen.
        batch: Rows a batch.
        negatives: Negatives of a row.
        learning_rate: Of the head.
        weight_decay: Of the head.
        temperature: Of the softmax over a batch's documents, for sums of similarities.
        sources: The rows.
    """

    texts: int = 500
    whitening: float = 0.25
    epochs: int = 4
    batch: int = 32
    negatives: int = 7
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    temperature: float = 1.0
    sources: tuple[Source, ...] = SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The rows of all sources in one folder, ids with the name of their collection before them.

    Attributes:
        folder: Of the three files.
        rows: Source → how many rows it gave.
        digests: Source → sha256 of its file of rows.
    """

    folder: Path
    rows: Mapping[str, int]
    digests: Mapping[str, str]


def train_demo_head(
    data: Path,
    work: Path,
    output: Path,
    *,
    seed: int = 0,
    settings: HeadSettings | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Return the head file, after training the demo's head; its card is written beside it.

    The same data, seed and settings give the same bytes on the same machine with as many threads.

    Args:
        data: Folder of collections, with ``train``.
        work: Folder of checkpoints and the run; one that was killed there is gone on with.
        output: Folder of the two files.
        seed: Of the texts, the rotation and the batches.
        settings: How, and of which rows; see ``HeadSettings``.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a file of the data is absent or has a bad line.
        MissingExtraError: If the encoder's package, torch or transformers is not installed.
        TrainingError: If the work folder holds an unfinished run of other data or settings.
        OutputError: If a file cannot be written.
    """
    chosen, tell = settings or HeadSettings(), reporter or Silent()
    gathered = gather_rows(data, work / "data", chosen.sources)
    texts = gathered.folder / CORPUS_FILE
    untrained = write_untrained_checkpoint(work / "untrained", dim=DIM, seed=seed)
    begun = _changed(untrained, texts, work / "begun", _begun(chosen, seed), tell)
    trained = train_model(
        TrainingRequest(
            checkpoint=begun,
            read=ReadOptions(),
            rows=gathered.folder / ROWS_FILE,
            queries=gathered.folder / QUERIES_FILE,
            corpus=texts,
            output=work / "trained",
            resume=True,
        ),
        lambda _checkpoint: _training_options(chosen, seed),
        reporter=tell,
    )
    rotated = _changed(trained.path, texts, work / "rotated", _rotated(chosen, seed), tell)
    return _write_head(output, rotated, _card(gathered, chosen, seed, trained))


def _changed(
    checkpoint: Path, texts: Path, output: Path, options: HeadOptions, reporter: Reporter
) -> Path:
    """Return a checkpoint whose head is made of token vectors."""
    request = HeadRequest(checkpoint=checkpoint, read=ReadOptions(), texts=texts, output=output)
    return make_head(request, options, reporter=reporter).path


def missing_files(data: Path | None) -> list[str]:
    """Return what a folder of collections lacks of what training reads, by name within it."""
    named = dict.fromkeys(name for source in SOURCES for name in source.files)
    return [name for name in named if data is None or not (data / name).is_file()]


def gather_rows(data: Path, folder: Path, sources: Iterable[Source] = SOURCES) -> Gathered:
    """Return the rows of all sources, with the texts that they name, written into one folder.

    Raises:
        CollectionError: If a file is absent, has a bad line, or names an unknown id.
        OutputError: If a file cannot be written.
    """
    lines: dict[str, dict[str, str]] = {ROWS_FILE: {}, QUERIES_FILE: {}, CORPUS_FILE: {}}
    counts, digests = {}, {}
    for source in sources:
        rows = list(_rows(data, source))
        lines[ROWS_FILE] |= {f"{source.name} {n}": json.dumps(row) for n, row in enumerate(rows)}
        lines[QUERIES_FILE] |= _queries(data, source, rows)
        lines[CORPUS_FILE] |= _documents(data, source, rows)
        path = data / "train" / f"{source.name}.jsonl"
        counts[source.name], digests[source.name] = len(rows), digest_file(path).sha256
    folder.mkdir(parents=True, exist_ok=True)
    for name, written in lines.items():
        with atomic_file(folder / name) as part:
            text = "".join(f"{line}\n" for line in written.values())
            part.write_text(text, encoding="utf-8")
    return Gathered(folder=folder, rows=counts, digests=digests)


def _rows(data: Path, source: Source) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file that may be trained on, with ids that say where they are from.

    Raises:
        CollectionError: If a line is bad.
    """
    path = data / "train" / f"{source.name}.jsonl"
    grades = read_qrels(data / source.test).values() if source.test else ()
    answers = {name for each in grades for name, grade in each.items() if grade > 0}
    for number, line in numbered_lines(path):
        said = json_object(line, f"{path} line {number}", error=CollectionError)
        try:
            query, positive, negatives = said["query_id"], said["pos_id"], list(said["neg_ids"])
        except (KeyError, TypeError) as error:
            raise CollectionError(
                f"{path} line {number}: expected query_id, pos_id and neg_ids, got "
                f"{', '.join(said)}"
            ) from error
        if positive not in answers:
            yield {
                "query_id": f"{source.collection}/{query}",
                "pos_id": source.document_id(positive),
                "neg_ids": [source.document_id(each) for each in negatives],
            }


def _queries(
    data: Path, source: Source, rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield the queries that rows ask: id and line."""
    asked = {row["query_id"] for row in rows}
    for each in read_queries(data / source.queries):
        if (name := f"{source.collection}/{each.id}") in asked:
            yield name, json.dumps({"_id": name, "text": each.text})


def _documents(
    data: Path, source: Source, rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield the documents that rows name: id and line."""
    named = {name for row in rows for name in (row["pos_id"], *row["neg_ids"])}
    for each in read_corpus(data / source.collection / CORPUS_FILE):
        if (name := source.document_id(each.id)) in named:
            title = {"title": each.text("title")} if source.titled else {}
            yield name, json.dumps({"_id": name, **title, "text": each.text("text")})


def _begun(settings: HeadSettings, seed: int) -> HeadOptions:
    """Return how the head is made that training begins with."""
    return HeadOptions(
        method=HeadMethod.PCA,
        start=HeadStart.NEW,
        dims=DIM,
        whitening=settings.whitening,
        seed=seed,
        most_texts=settings.texts,
        device=Device.CPU,
    )


def _rotated(settings: HeadSettings, seed: int) -> HeadOptions:
    """Return how the trained head is rotated: float scores stay, signs say more."""
    return HeadOptions(
        method=HeadMethod.ITQ, seed=seed, most_texts=settings.texts, device=Device.CPU
    )


def _training_options(settings: HeadSettings, seed: int) -> TrainingOptions:
    from vespa_colbert.train.losses import LossKind, LossOptions

    return TrainingOptions(
        loss=LossOptions(kind=LossKind.SOFTMAX, temperature=settings.temperature),
        batch=BatchOptions(size=settings.batch, negatives=settings.negatives, seed=seed),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warm_up=0.1,
        device=Device.CPU,
    )


def _card(
    gathered: Gathered, settings: HeadSettings, seed: int, trained: TrainedModel
) -> dict[str, Any]:
    """Return what is to be known of the head."""
    return {
        "encoder": demo_origin(),
        "dim": trained.dim,
        "seed": seed,
        "settings": {name: each for name, each in asdict(settings).items() if name != "sources"},
        "data": [
            {
                **asdict(source),
                "rows": gathered.rows[source.name],
                "sha256": gathered.digests[source.name],
            }
            for source in settings.sources
        ],
        "steps": trained.steps,
        "last-loss": round(trained.loss, 4),
    }


def _write_head(output: Path, made: Path, card: Mapping[str, Any]) -> Path:
    """Return the head file, after writing it and its card."""
    (layer,) = read_checkpoint(made).projection
    output.mkdir(parents=True, exist_ok=True)
    head = output / HEAD_FILE
    with atomic_file(head) as part:
        part.write_bytes(save({"weight": layer.weight}))
    said = {**card, "head": {"file": HEAD_FILE, "sha256": digest_file(head).sha256}}
    with atomic_file(output / HEAD_CARD) as part:
        part.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return head
