"""A corpus and an encoder that is none: how often each text goes through it is written down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from tests.embedder.tiny_embedder import SPEC
from tests.index.stored_cases import SCHEMA, embed
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.export import ModelFolder
from vespa_colbert.files import FileDigest
from vespa_colbert.pipeline import EmbedRequest, corpus, embedding, only_schema

MODEL = ModelFolder(
    path=Path("model"),
    embedder=SPEC,
    packaging="native",
    checkpoint={},
    versions={},
    graph={},
    verification={},
    files={name: FileDigest(sha256=name, size=1) for name in ("model.onnx", "tokenizer.json")},
)


def write_corpus(path: Path, count: int, *, bad: Sequence[str] = ()) -> Path:
    """Write documents, the bad lines after the first one."""
    rows = [
        json.dumps({"_id": f"d{place}", "text": text(place), "contexts": [text(place)] * 2})
        for place in range(count)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([rows[0], *bad, *rows[1:]]) + "\n", encoding="utf-8")
    return path


def text(place: int) -> str:
    return f"text {place} {'x' * (place % 5)}"


def request(corpus_path: Path, output: Path, **more: object) -> EmbedRequest:
    given = {"corpus": corpus_path, "output": output, "model": MODEL, "schema": SCHEMA, **more}
    return EmbedRequest(**given)  # type: ignore[arg-type]


def request_of_texts(
    texts: Mapping[str, str], model: ModelFolder, app: Path, folder: Path, pooling: TokenPooling
) -> EmbedRequest:
    """Return what embeds texts into ``index`` of a folder; their corpus is written beside it.

    Args:
        texts: Id → text.
        model: The model folder.
        app: The package.
        folder: Where the corpus and the index are.
        pooling: How many vectors are left.
    """
    path = folder / "corpus.jsonl"
    rows = (json.dumps({"_id": name, "text": each}) + "\n" for name, each in texts.items())
    path.write_text("".join(rows), encoding="utf-8")
    schema = only_schema(app)
    return request(path, folder / "index", model=model, schema=schema, threads=1, pooling=pooling)


def install(log: Path | None = None, *, window: int = 4, seconds: float = 0.0) -> None:
    """Put the encoder in the place of the real one, and have each window written at once.

    Args:
        log: Where each text that goes through it is written down.
        window: Documents of a window.
        seconds: How long a window takes.
    """

    def embed_documents(
        _embedder: object,
        texts: Sequence[str],
        _pool: Executor,
        *,
        progress: Callable[[int], None],
    ) -> list[TokenVectors]:
        time.sleep(seconds)
        if log is not None:
            with log.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{each}\n" for each in texts)
        progress(len(texts))
        return [embed(each) for each in texts]

    vars(corpus).update(
        LocalEmbedder=lambda *_arguments, **_named: None, embed_documents=embed_documents
    )
    embedding.WINDOW_DOCUMENTS = window
    embedding.COMMIT_BYTES = 1
