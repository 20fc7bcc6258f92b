"""The models whose files a package holds beside that of token vectors, as its services.xml says.

A dense model makes one vector of a whole text; the tokenizer of a cross-encoder makes token ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.services import components, read_services
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalDenseEmbedder
from vespa_colbert.embedder.tokenizer import encoded, open_tokenizer
from vespa_colbert.errors import SpecError
from vespa_colbert.evaluate import StoredVectors, missing_texts, open_vectors, store_vectors
from vespa_colbert.export.dense import DENSE_MEMBER
from vespa_colbert.export.dense_spec import DenseSpec, Pooling
from vespa_colbert.export.onnx_session import open_session
from vespa_colbert.export.stated_folder import StatedFolder
from vespa_colbert.files import digest_file
from vespa_colbert.pipeline.reporter import Reporter
from vespa_colbert.tensor import TensorType

__all__ = ["DenseModel", "PackagedModel", "TokenIds", "packaged_models"]

MANY_TOKENS = 1 << 30
"""No text is cut before its ids are put into a tensor."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Of a dense model, by the names that they have where a component says no other."""

TEXTS_AHEAD = 128
"""Texts that are embedded together: what a kill costs, and how often progress is told."""

ANY_TEXT = "."
"""Shows how many components a model gives."""


class PackagedModel(Protocol):
    """What fills tensors of one indexed dimension from texts."""

    def documents(
        self, texts: Sequence[str], kind: TensorType, folder: Path, reporter: Reporter
    ) -> NDArray[Any]:
        """Return the cells of texts of documents: (text, cell) of the type's dtype."""

    def query(self, text: str, kind: TensorType) -> NDArray[Any]:
        """Return the cells of a question: (cell,)."""


@dataclass(frozen=True, kw_only=True)
class _PackagedFolder(StatedFolder[DenseSpec]):
    """A model whose files a component points at, in the place of a model folder.

    Attributes:
        model_file: The ONNX file.
        tokenizer_file: The tokenizer file.
    """

    model_file: Path
    tokenizer_file: Path

    @property
    def model_path(self) -> Path:
        """Path of the ONNX file."""
        return self.model_file

    @property
    def tokenizer_path(self) -> Path:
        """Path of the tokenizer file."""
        return self.tokenizer_file


@dataclass(frozen=True, kw_only=True)
class DenseModel:
    """A ``hugging-face-embedder``.

    Attributes:
        files: Its facts and files.
        threads: Of ONNX Runtime; 0 for one a core.
    """

    files: _PackagedFolder
    threads: int

    @cached_property
    def embedder(self) -> LocalDenseEmbedder:
        """What runs it."""
        return LocalDenseEmbedder(self.files, threads=self.threads)

    def documents(
        self, texts: Sequence[str], kind: TensorType, folder: Path, reporter: Reporter
    ) -> NDArray[Any]:
        """Return the cells of texts of documents: (text, cell); see ``PackagedModel``."""
        stored = self.stored(texts, folder, reporter)
        empty = np.zeros((0, stored.dim), np.float32)
        pooled = np.concatenate([empty, *(stored.embed(each) for each in texts)], axis=0)
        return self.embedder.cells(pooled, kind)

    def query(self, text: str, kind: TensorType) -> NDArray[Any]:
        """Return the cells of a question: (cell,)."""
        found: NDArray[Any] = self.embedder.cells(self.embedder.pooled([text], "query"), kind)[0]
        return found

    def stored(self, texts: Sequence[str], folder: Path, reporter: Reporter) -> StoredVectors:
        """Return the pooled vectors of texts, those that are missing made and kept.

        Args:
            texts: Of documents.
            folder: Where the file of vectors stands.
            reporter: Hears of the progress.
        """
        checksum = digest_file(self.files.model_path).sha256
        facts = json.dumps(asdict(replace(self.files.facts, dim=1)), sort_keys=True)
        origin = {
            "model": checksum,
            "tokenizer": digest_file(self.files.tokenizer_path).sha256,
            "embedder": hashlib.sha256(facts.encode()).hexdigest(),
        }
        width = self.embedder.pooled([ANY_TEXT], "document").shape[1]
        stored = open_vectors(folder / f"vectors-{checksum[:12]}.bin", dim=width, origin=origin)
        if not (missing := missing_texts(stored, texts)):
            return stored
        reporter.say(f"{stored.path}: dense vectors of {len(missing)} texts are made")
        with reporter.track("dense vectors", len(missing)) as progress:
            embed = _ahead(self.embedder, missing)
            return store_vectors(stored, missing, embed, origin=origin, progress=progress)


@dataclass(frozen=True, kw_only=True)
class TokenIds:
    """A ``hugging-face-tokenizer``: ids without special tokens, zeros behind them.

    Attributes:
        path: The tokenizer file.
    """

    path: Path

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = open_tokenizer(self.path, MANY_TOKENS)
        tokenizer.no_truncation()
        return tokenizer

    def documents(
        self, texts: Sequence[str], kind: TensorType, folder: Path, reporter: Reporter
    ) -> NDArray[Any]:
        """Return the cells of texts of documents: (text, cell); see ``PackagedModel``."""
        del folder, reporter
        return np.array([self.query(each, kind) for each in texts]).reshape(-1, *kind.shape)

    def query(self, text: str, kind: TensorType) -> NDArray[Any]:
        """Return the cells of a question: (cell,)."""
        cells = np.zeros(kind.shape, kind.cell_type.dtype)
        ids = encoded(self._tokenizer, text, specials=False)[: len(cells)]
        cells[: len(ids)] = ids
        return cells


def _ahead(embedder: LocalDenseEmbedder, texts: Sequence[str]) -> Callable[[str], TokenVectors]:
    """Return text → its pooled vector, (1, width) float32: asked one by one, made in batches."""
    places = {text: place for place, text in enumerate(texts)}
    made: dict[str, TokenVectors] = {}

    def embed(text: str) -> TokenVectors:
        if text not in made:
            made.clear()
            start = places[text]
            chunk = texts[start : start + TEXTS_AHEAD]
            pooled = embedder.pooled(chunk, "document")
            made.update(zip(chunk, pooled[:, np.newaxis], strict=True))
        return made[text]

    return embed


def packaged_models(application: Path, threads: int) -> Iterator[tuple[str, PackagedModel]]:
    """Yield id and model of each component whose files are in the package."""
    root = read_services(application)
    for each in [] if root is None else components(root):
        name, kind = each.get("id", ""), each.get("type")
        if kind == "hugging-face-tokenizer" and len(paths := each.findall("model")) == 1:
            path = _file(application, paths[0])
            if path is not None:
                yield name, TokenIds(path=path)
        elif kind == "hugging-face-embedder":
            model, tokenizer = (
                _file(application, each.find(part))
                for part in ("transformer-model", "tokenizer-model")
            )
            if model is not None and tokenizer is not None:
                facts = _facts(each, model, application)
                files = _packaged(application, facts, model, tokenizer)
                yield name, DenseModel(files=files, threads=threads)


def _packaged(application: Path, facts: DenseSpec, model: Path, tokenizer: Path) -> _PackagedFolder:
    return _PackagedFolder(
        path=application,
        member=DENSE_MEMBER,
        facts=facts,
        requested={},
        checkpoint={},
        versions={},
        graph={},
        verification={},
        model_file=model,
        tokenizer_file=tokenizer,
    )


def _file(application: Path, element: Any) -> Path | None:
    """Return the file of a package that an element points at, if it does."""
    stated = "" if element is None else element.get("path", "")
    path = application / stated
    return path if stated and path.is_file() else None


def _facts(element: Any, model: Path, application: Path) -> DenseSpec:
    """Return what a ``hugging-face-embedder`` is told, Vespa's defaults filled in.

    Raises:
        SpecError: If it is told what no embedder can be.

    Source: hugging-face-embedder.def, Vespa 8.700.24.
    """

    def text(name: str, default: str) -> str:
        found = element.find(name)
        return default if found is None else (found.text or "").strip()

    pooling, most = text("pooling-strategy", "mean"), text("max-tokens", "512")
    if pooling not in get_args(Pooling) or not most.isdecimal():
        raise SpecError(
            f"{application}: component {element.get('id')}: expected a pooling of "
            f"{', '.join(get_args(Pooling))} and a number of tokens, got {pooling!r} and {most!r}"
        )
    inputs = {each: f"transformer-{each.replace('_', '-')}" for each in INPUTS}
    taken = set(INPUTS)
    if any(element.find(each) is None for each in inputs.values()):
        taken = {each.name for each in open_session(model).get_inputs()}
    named = {name: text(each, name if name in taken else "") for name, each in inputs.items()}
    prepend = element.find("prepend")
    return DenseSpec(
        dim=1,
        max_tokens=int(most),
        pooling="cls" if pooling == "cls" else "mean" if pooling == "mean" else "none",
        normalize=text("normalize", "false").lower() == "true",
        query_prepend="" if prepend is None else prepend.findtext("query", ""),
        document_prepend="" if prepend is None else prepend.findtext("document", ""),
        output=text("transformer-output", "last_hidden_state"),
        input_ids=named["input_ids"],
        attention_mask=named["attention_mask"],
        token_type_ids=named["token_type_ids"],
    )
