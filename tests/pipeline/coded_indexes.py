"""Indexes of residuals with what they are made of, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pipeline.embedded_corpora import request_of_texts
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.residual_vectors import read_residual_vectors
from vespa_colbert.codec import CodecOptions
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.pipeline import embed
from vespa_colbert.pipeline.coded_index import write_coded_index
from vespa_colbert.pipeline.compressed_index import compressed_index
from vespa_colbert.pipeline.residuals import make_codec
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType

TEXTS = ["red", "green greens", "red green 🦊", "🦊 🦊", "greens", "red red green"]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A corpus, a model, an index of float vectors, a codec, and the index of residuals.

    Attributes:
        folder: Of all of them.
        model: The model folder.
        app: The package with the residuals.
    """

    folder: Path
    model: ModelFolder
    app: Path

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def codec(self) -> Path:
        return self.folder / "codec"

    @property
    def coded(self) -> Path:
        return self.folder / "coded"

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.jsonl"


def package(model: ModelFolder, folder: Path, codec: Path | None, **more: Any) -> Path:
    residual = None if codec is None else read_residual_vectors(codec)
    options = AppOptions(cell_types=(CellType.FLOAT,), dims=(16,), residual=residual, **more)
    spec = application_spec(folder_embedder(model), options)
    return render_app(spec, folder, parse=parse_expression).path


def make(
    folder: Path, model: ModelFolder, factor: float = 1.0, said: Sequence[str] = TEXTS
) -> Made:
    pooling = TokenPooling(factor=factor)
    embeddings = "client" if pooling.is_active else "server"
    app = package(model, folder / "float", None, embeddings=embeddings)
    texts = {f"d{place}": text for place, text in enumerate(said)}
    embed(request_of_texts(texts, model, app, folder, pooling))
    make_codec(folder / "index", folder / "codec", CodecOptions(bits=2, centroids=4))
    made = Made(folder=folder, model=model, app=package(model, folder / "app", folder / "codec"))
    write_coded_index(compressed_index(made.index, made.codec), made.coded, made.app)
    return made
