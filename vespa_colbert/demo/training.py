"""A head for the demo's encoder, learned from texts: documents of open collections → a head file.

The encoder stays as it is. The first component is the same for every row; the others are the
principal axes of rows, whitened in part. Rows of MiniLM are the longer the more a token says, and
lengths are lost where token vectors are made of unit length: beside a constant, a short row still
says less than a long one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from vespa_colbert.checkpoint import ProjectionLayer, ReadOptions, read_checkpoint
from vespa_colbert.demo.checkpoint import (
    HEAD_CARD,
    HEAD_FILE,
    demo_origin,
    write_untrained_checkpoint,
)
from vespa_colbert.errors import CollectionError
from vespa_colbert.files import atomic_file, digest_file
from vespa_colbert.index import read_corpus, read_qrels
from vespa_colbert.json_lines import json_object, numbered_lines
from vespa_colbert.pipeline.head import HeadRequest, make_head
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.train import Device, HeadStart
from vespa_colbert.train.surgery import HeadMethod, HeadOptions

__all__ = [
    "SOURCES",
    "Gathered",
    "HeadSettings",
    "Source",
    "gather_texts",
    "missing_files",
    "train_demo_head",
]

CORPUS_FILE = "corpus.jsonl"
DIM = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Training rows of one collection; the documents that they name are what the head sees.

    Attributes:
        name: Of the file of rows, ``train/NAME.jsonl``.
        collection: Folder with the documents, in BEIR's form.
        licence: Of the texts.
        origin: Who made them.
        titled: Whether a document's title stands before its text.
        test: Judgements; a document that answers one of their queries is left out.
    """

    name: str
    collection: str
    licence: str
    origin: str
    titled: bool = False
    test: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """What is read of a folder of collections, by name within it."""
        tests = (self.test,) if self.test else ()
        return (f"train/{self.name}.jsonl", f"{self.collection}/{CORPUS_FILE}", *tests)


SOURCES = (
    Source(
        name="scifact-claims-noleak",
        collection="scifact",
        licence="claims and judgements CC BY 4.0, abstracts ODC-By 1.0",
        origin="Wadden et al. 2020, https://github.com/allenai/scifact",
        titled=True,
        test="scifact/qrels/test.tsv",
    ),
    Source(
        name="pubmedqa",
        collection="pubmedqa",
        licence="MIT",
        origin="Jin et al. 2019, https://github.com/pubmedqa/pubmedqa",
    ),
)
"""Abstracts that rows of SciFact's claims and of PubMedQA's questions name; none of them answers a
test claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """How the head is made.

    Chosen on SciFact's training claims that share no relevant abstract with a test claim.

    Attributes:
        texts: Documents whose rows give the axes, drawn at random.
        whitening: How far axes that hold little are made larger, see ``HeadOptions``.
        constant: The first component, before a token vector is made of unit length; the others have
            a length of 5.5 together on the average.
        sources: Where the documents are from.
    """

    texts: int = 200
    whitening: float = 0.25
    constant: float = 12.0
    sources: tuple[Source, ...] = SOURCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The documents of all sources in one file, ids with the name of their collection before them.

    Attributes:
        path: Of the file.
        documents: Source → how many documents it gave.
        digests: Source → sha256 of its file of rows.
    """

    path: Path
    documents: Mapping[str, int]
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
    """Return the head file, after learning the demo's head; its card is written beside it.

    The same data, seed and settings give the same bytes on the same machine with as many threads.

    Args:
        data: Folder of collections, with ``train``.
        work: Folder of the texts and of checkpoints on the way.
        output: Folder of the two files.
        seed: Of the choice of texts.
        settings: How, and of which texts.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a file of the data is absent or has a bad line.
        MissingExtraError: If the encoder's package, torch or transformers is not installed.
        OutputError: If a file cannot be written.
    """
    chosen, tell = settings or HeadSettings(), reporter or Silent()
    gathered = gather_texts(data, work / CORPUS_FILE, chosen.sources)
    request = HeadRequest(
        checkpoint=write_untrained_checkpoint(work / "untrained", seed=seed),
        read=ReadOptions(),
        texts=gathered.path,
        output=work / "axes",
    )
    axes = make_head(request, _axes(chosen, seed), reporter=tell)
    (layer,) = read_checkpoint(axes.path).projection
    card = _card(gathered, chosen, seed)
    return _write_head(output, _with_constant(layer, chosen.constant), card)


def missing_files(data: Path | None) -> list[str]:
    """Return what a folder of collections lacks of what is read, by name within it."""
    named = dict.fromkeys(name for source in SOURCES for name in source.files)
    return [name for name in named if data is None or not (data / name).is_file()]


def gather_texts(data: Path, path: Path, sources: Iterable[Source] = SOURCES) -> Gathered:
    """Return the documents that rows of all sources name, written into one file.

    Raises:
        CollectionError: If a file is absent, or has a bad line.
        OutputError: If the file cannot be written.
    """
    lines: list[str] = []
    counts, digests = {}, {}
    for source in sources:
        found = list(_documents(data, source))
        lines += found
        counts[source.name] = len(found)
        digests[source.name] = digest_file(data / "train" / f"{source.name}.jsonl").sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return Gathered(path=path, documents=counts, digests=digests)


def _documents(data: Path, source: Source) -> Iterator[str]:
    """Yield the documents that rows name and that answer no test query: lines of JSON."""
    grades = read_qrels(data / source.test).values() if source.test else ()
    answers = {name for each in grades for name, grade in each.items() if grade > 0}
    named = set(_named(data / "train" / f"{source.name}.jsonl")) - answers
    for each in read_corpus(data / source.collection / CORPUS_FILE):
        if each.id in named:
            title = {"title": each.text("title")} if source.titled else {}
            name = f"{source.collection}/{each.id}"
            yield json.dumps({"_id": name, **title, "text": each.text("text")})


def _named(path: Path) -> Iterator[str]:
    """Yield the ids of the documents that rows name.

    Raises:
        CollectionError: If a line is bad.
    """
    for number, line in numbered_lines(path):
        said = json_object(line, f"{path} line {number}", error=CollectionError)
        try:
            yield from (said["pos_id"], *said["neg_ids"])
        except (KeyError, TypeError) as error:
            raise CollectionError(
                f"{path} line {number}: expected pos_id and neg_ids, got {', '.join(said)}"
            ) from error


def _axes(settings: HeadSettings, seed: int) -> HeadOptions:
    """Return how all components but the constant one are made."""
    return HeadOptions(
        method=HeadMethod.PCA,
        start=HeadStart.NEW,
        dims=DIM - 1,
        whitening=settings.whitening,
        seed=seed,
        most_texts=settings.texts,
        device=Device.CPU,
    )


def _with_constant(layer: ProjectionLayer, constant: float) -> ProjectionLayer:
    """Return the layer behind one component more, which is the same for every row."""
    weight = np.vstack([np.zeros_like(layer.weight[:1]), layer.weight])
    bias = np.zeros(len(weight), np.float32)
    bias[0] = constant
    return replace(layer, weight=weight, bias=bias)


def _card(gathered: Gathered, settings: HeadSettings, seed: int) -> dict[str, Any]:
    """Return what is to be known of the head."""
    return {
        "encoder": demo_origin(),
        "dim": DIM,
        "seed": seed,
        "settings": {name: each for name, each in asdict(settings).items() if name != "sources"},
        "data": [
            {
                **asdict(source),
                "documents": gathered.documents[source.name],
                "sha256": gathered.digests[source.name],
            }
            for source in settings.sources
        ],
        "command": f"make train-demo-head DATA=FOLDER SEED={seed}",
    }


def _write_head(output: Path, layer: ProjectionLayer, card: Mapping[str, Any]) -> Path:
    """Return the head file, after writing it and its card."""
    tensors = {"weight": layer.weight}
    if layer.bias is not None:
        tensors["bias"] = layer.bias
    output.mkdir(parents=True, exist_ok=True)
    head = output / HEAD_FILE
    with atomic_file(head) as part:
        part.write_bytes(save(tensors))
    said = {**card, "head": {"file": HEAD_FILE, "sha256": digest_file(head).sha256}}
    with atomic_file(output / HEAD_CARD) as part:
        part.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return head
