"""The models and texts that the recipes of the table are judged with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tests.app.tiny_models import DENSE_DIM, dense_vector, write_cross_encoder, write_dense
from tests.codec.codec_cases import trained
from vespa_colbert.codec import write_codec
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
    read_model_folder,
)
from vespa_colbert.files import digest_file
from vespa_colbert.index import iterate_corpus
from vespa_colbert.tensor import CellType, Tensor, TensorType

__all__ = [
    "CORPUS",
    "QUESTIONS",
    "input_of_another_model",
    "scifact_rows",
    "sent_by_a_client",
    "write_recipe_models",
]

CORPUS: tuple[dict[str, Any], ...] = (
    {"title": "Rose", "text": "A rose is a rose is a rose. What is a red rose?"},
    {"title": "", "text": "The quick brown fox jumps over the lazy dog, and the dog cares not."},
    {"title": "Vespa", "text": "Vespa ranks documents: it sums the maxima of dot products."},
    {"text": "Pack my box with five dozen liquor jugs; how vexingly quick zebras jump! " * 8},
    {"title": "Gutenberg", "text": "In 1450 Gutenberg printed with movable type: 42 lines."},
    {
        "title": "Été",
        "text": "L'été à Paris, le café est cher. Wie hoch? 富士山は高い。",
        "_group": "ada",
    },
    {"title": "  ", "text": " \t.\t", "_group": "ada"},
    {"title": "[MASK] [CLS]", "text": '[SEP] ##s "quoted" <b>&amp;</b> {{x}} \'é\u0301 שלום 🦊'},
    {"title": "🦊", "text": "?! … — ''", "_group": "bob"},
    {"title": "Paris", "text": "rose"},
)
QUESTIONS = (
    "what is a red rose?",
    'the "quick" -fox (jumps',
    "富士山 🦊 [MASK] café",
    "rose " * 40,
)
SCIFACT_ROWS = 3
MOST_CHARACTERS = 200


def scifact_rows(collections: Path) -> list[dict[str, Any]]:
    """Return the beginnings of the first documents of SciFact; none where they are not at hand."""
    path = collections / "scifact" / "corpus.jsonl"
    if not path.is_file():
        return []
    return [
        {"title": each.text("title"), "text": each.text("text")[:MOST_CHARACTERS]}
        for each in islice(iterate_corpus(path), SCIFACT_ROWS)
    ]


DENSE = {
    "dense": DenseSpec(
        dim=DENSE_DIM,
        max_tokens=256,
        pooling="mean",
        normalize=True,
        query_prepend="query: ",
        document_prepend="passage: ",
    ),
    "dense-dot": DenseSpec(
        dim=DENSE_DIM, max_tokens=256, pooling="cls", normalize=False, similarity="dot"
    ),
}
CROSS = {
    "cross-encoder": CrossEncoderSpec(max_tokens=48, token_type_ids="token_type_ids"),  # noqa: S106
    "cross-encoder-xlm-r": CrossEncoderSpec(max_tokens=48),
}
FAMILY = {"cross-encoder": "bert", "cross-encoder-xlm-r": "xlm-roberta"}
ROWS = DenseSpec(dim=DENSE_DIM, max_tokens=64, pooling="mean", normalize=False, output="contextual")
"""A graph whose rows, a token each, nobody pools: what a late-interaction model gives."""


def write_recipe_models(folder: Path, more: Sequence[Mapping[str, Any]] = ()) -> ModelFolder:
    """Return the late-interaction model, in a folder where the recipes find all that they name.

    Args:
        folder: Where models and corpus go.
        more: Documents beside those written here.
    """
    for name, dense in DENSE.items():
        write_dense(folder / name, dense)
    write_codec(trained(2, DENSE_DIM), folder / "codec")
    for name, cross in CROSS.items():
        write_cross_encoder(folder / name, cross, FAMILY[name])
    rows = [
        {**fields, "_id": f"{place} d", "contexts": _contexts(fields)}
        for place, fields in enumerate((*CORPUS, *more))
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
    return _write_colbert(folder / "output" / "model")


def _contexts(fields: Mapping[str, Any]) -> list[str]:
    """Return a document's text as a list: cut before every capital letter, a blank among them."""
    cut = re.split(r"(?<=\W)(?=[A-Z])", fields["text"])
    return [*cut, " ", cut[0]] if len(cut) > 1 else cut


def _write_colbert(path: Path) -> ModelFolder:
    write_dense(path, ROWS)
    tokenizer = Tokenizer.from_file(str(path / TOKENIZER_FILE))
    tokenizer.add_tokens(["[Q]", "[D]"])
    tokenizer.save(str(path / TOKENIZER_FILE))
    names = ("[CLS]", "[SEP]", "[MASK]", "[PAD]", "[Q]", "[D]")
    start, end, mask, pad, query, document = (tokenizer.encode(each).ids[1] for each in names)
    spec = EmbedderSpec(
        dim=DENSE_DIM,
        start_id=start,
        end_id=end,
        mask_id=mask,
        pad_id=pad,
        query_marker_id=query,
        document_marker_id=document,
        max_query_tokens=16,
        max_document_tokens=48,
        max_tokens=64,
        expansion_emitted=True,
    )
    folder = ModelFolder(
        path=path,
        embedder=spec,
        packaging="native",
        checkpoint={},
        versions={},
        graph={"opset": 17, "ir_version": 9},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    return read_model_folder(path)


def input_of_another_model(model: Path, kind: TensorType, text: str) -> Tensor:
    """Return what an input holds of a text, made from the definition of its model.

    Args:
        model: Folder of a dense model or a cross-encoder.
        kind: Type of the input.
        text: The question.
    """
    if model.name in CROSS:
        tokenizer = Tokenizer.from_file(str(model / TOKENIZER_FILE))
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: kind.shape[0]]
        return Tensor.dense(kind, np.array([*ids, *[0] * (kind.shape[0] - len(ids))], np.float32))
    spec = DENSE[model.name]
    vector = dense_vector(model, spec, f"{spec.query_prepend}{text}")
    held = kind.shape[0] * (8 if kind.cell_type is CellType.INT8 else 1)
    if held < len(vector) and spec.normalize:
        vector = vector[:held] / np.linalg.norm(vector[:held])
    if kind.cell_type is CellType.INT8:
        return Tensor.dense(kind, np.packbits(vector[:held] > 0).view(np.int8))
    return Tensor.dense(kind, vector.astype(np.float32))


def sent_by_a_client(kind: TensorType, text: str) -> Tensor:
    """Return something of a text that a client may send: of its words or its letters.

    Args:
        kind: Type of the input: a cell for each of some labels, or one vector.
        text: The question.
    """
    if kind.mapped:
        words = sorted(set(re.findall(r"\w+", text)))
        cells = np.array([[0.5 + 0.125 * len(word)] for word in words], np.float32)
        codes = np.arange(len(words)).reshape(-1, 1)
        return Tensor(kind, codes, (tuple(words),), cells.reshape(len(words)))
    counts = np.zeros(kind.shape, np.float32)
    for letter in text:
        counts[ord(letter) % len(counts)] += 0.25
    return Tensor.dense(kind, counts)
