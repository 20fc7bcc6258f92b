"""The judge: sentence-transformers' own MultiVectorEncoder on the folders of three layouts.

It encodes the queries and documents; the same texts go through Vespa's embedder on our files.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.judges.judge_folders import (
    PUNCTUATION,
    add_tokens,
    minilm,
    write_multi_vector,
    write_pylate,
    write_stanford,
)
from tests.judges.judge_scores import QUICK_OPSET, Scores, check_scores, maxsim, vespa_scores
from tests.judges.judge_texts import DOCUMENTS, QUERIES, without_punctuation
from tests.required import import_or_skip
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.vespa_java import VespaJava

pytestmark = [pytest.mark.java, pytest.mark.filterwarnings("default")]

logger = logging.getLogger(__name__)

PUNCTUATION_EFFECT = 1e-3
"""Far above rounding: dropping punctuation before the encoder must show on these texts."""

MARKER_TEXT = re.compile(r"\[unused[01]\]")
"""The library makes Stanford's markers special tokens, so that a text may spell them out.
colbert-ai does not, and neither does Vespa's embedder with the tokenizer as it was saved."""

Write = Callable[[Path, Path], Path]

TWO_LAYERS = (
    {"out": 12, "bias": True, "activation": "Tanh", "residual": True},
    {"out": 8, "bias": False},
)
SQUARE = ({"out": 16, "bias": True, "activation": "GELU", "residual": True}, {"out": 8})
WIDE_LAYERS = (
    {"out": 192, "bias": True, "activation": "GELU", "residual": True},
    {"out": 64, "bias": False},
)
MARKERS = {"query": "[unused0]", "document": "[unused1]"}
PREFIXES = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
FIXED = {"strategy": "fixed", "attend": False, "length": 12, "token": None}


def stanford(**metadata: Any) -> Write:
    return lambda folder, source: write_stanford(folder, source, 8, **metadata)


def pylate(layers: Sequence[Mapping[str, Any]], **settings: Any) -> Write:
    return lambda folder, source: write_pylate(folder, source, layers, **settings)


def prefixed(layers: Sequence[Mapping[str, Any]], **settings: Any) -> Write:
    """PyLate's own prefixes, which it adds to the tokenizer with a space at their end."""

    def write(folder: Path, source: Path) -> Path:
        added = add_tokens(source, folder.with_name("added"), ("[Q] ", "[D] "), special=False)
        prefixes = {"query_prefix": "[Q] ", "document_prefix": "[D] "}
        return write_pylate(folder, added, layers, **prefixes, **settings)

    return write


def marked(
    layers: Sequence[Mapping[str, Any]], transformer: Mapping[str, Any], mask: Mapping[str, Any]
) -> Write:
    """Prompts of one special token and a space."""

    def write(folder: Path, source: Path) -> Path:
        added = add_tokens(source, folder.with_name("added"), ("[Q]", "[D]"), special=True)
        model = {"prompts": {"query": "[Q] ", "document": "[D] "}}
        return write_multi_vector(
            folder, added, layers, transformer=transformer, mask=mask, model=model
        )

    return write


def multi_vector(
    layers: Sequence[Mapping[str, Any]],
    transformer: Mapping[str, Any],
    mask: Mapping[str, Any],
    **model: Any,
) -> Write:
    return lambda folder, source: write_multi_vector(
        folder, source, layers, transformer=transformer, mask=mask, model=model
    )


LENGTHS = {"query_maxlen": 12, "doc_maxlen": 24}
STANFORD = {
    "stanford": stanford(**LENGTHS, mask_punctuation=True, attend_to_mask_tokens=False),
    "stanford, attended, punctuation scores": stanford(
        query_maxlen=9, doc_maxlen=40, mask_punctuation=False, attend_to_mask_tokens=True
    ),
}
PYLATE = {
    "pylate, two layers": pylate(TWO_LAYERS, **PREFIXES, query_length=12, document_length=24),
    "pylate, no expansion": pylate(
        SQUARE,
        **PREFIXES,
        query_length=9,
        document_length=40,
        do_query_expansion=False,
        skiplist_words=["rose", ".", "is", "[SEP]"],
    ),
    "pylate, attended, no markers": pylate(
        ({"out": 8, "bias": True},),
        query_prefix="",
        document_prefix="",
        query_length=14,
        document_length=20,
        attend_to_expansion_tokens=True,
    ),
    "pylate, prefixes with a space": prefixed(({"out": 8},), query_length=12, document_length=24),
}
MULTI_VECTOR = {
    "v6, two layers": multi_vector(
        TWO_LAYERS,
        {"document_length": 24, "query_expansion": FIXED},
        {"skiplist_words": list(PUNCTUATION)},
        prompts=MARKERS,
    ),
    "v6, mean, skipped on both sides": multi_vector(
        SQUARE,
        {"document_length": 40, "query_length": 9},
        {"skiplist_words": ["rose", ".", "?"], "skiplist_tasks": ["query", "document"]},
        similarity_fn_name="meanmaxsim",
    ),
    "v6, attended": multi_vector(
        ({"out": 8, "activation": "ReLU"},),
        {"document_length": 20, "query_expansion": FIXED | {"attend": True, "token": "[PAD]"}},
        {},
        prompts=MARKERS,
    ),
}
CASES = STANFORD | PYLATE | MULTI_VECTOR


DEFAULT_RUN = ("stanford", "pylate, two layers", "v6, two layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A checkpoint, the library's model of it, and the files exported from it."""

    source: Path
    model: Any
    folder: ModelFolder

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> Scores:
        return maxsim(
            self.model.encode_query(list(queries), convert_to_numpy=True),
            self.model.encode_document(list(documents), convert_to_numpy=True),
            mean=self.model.similarity_fn_name == "meanmaxsim",
        )


@pytest.fixture(scope="module", name="library")
def library_fixture() -> Any:
    return import_or_skip("sentence_transformers.multi_vector_encoder")


EXACT = ExportOptions(packaging="exact")


def judged(
    library: Any, write: Write, source: Path, parent: Path, options: ExportOptions = EXACT
) -> Judged:
    written = write(parent / "checkpoint", source)
    return Judged(
        source=written,
        model=library.MultiVectorEncoder(str(written), device="cpu").double(),
        folder=export_checkpoint(read_checkpoint(written), parent / "model", options),
    )


@pytest.fixture(scope="module")
def exact(
    request: pytest.FixtureRequest,
    library: Any,
    tiny_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Judged:
    parent = tmp_path_factory.mktemp("exact")
    options = replace(EXACT, opset=QUICK_OPSET) if request.param in DEFAULT_RUN else EXACT
    return judged(library, CASES[request.param], tiny_checkpoint, parent, options)


@pytest.mark.parametrize(
    "exact",
    [pytest.param(name, marks=() if name in DEFAULT_RUN else pytest.mark.slow) for name in CASES],
    indirect=True,
)
def test_exact_scores_are_those_of_the_library(java: VespaJava, exact: Judged) -> None:
    got = vespa_scores(java, exact.folder, QUERIES, DOCUMENTS)
    check_scores(got, exact.scores(QUERIES, DOCUMENTS))


@pytest.mark.slow
@pytest.mark.parametrize("exact", CASES, indirect=True)
def test_exact_scores_of_adversarial_texts(
    java: VespaJava, exact: Judged, adversarial: tuple[str, ...]
) -> None:
    got = vespa_scores(java, exact.folder, adversarial[::20], adversarial)
    check_scores(got, exact.scores(adversarial[::20], adversarial))


@pytest.mark.slow
@pytest.mark.parametrize("case", DEFAULT_RUN)
def test_native_scores_differ_where_documents_have_punctuation_and_nowhere_else(
    library: Any, java: VespaJava, tiny_checkpoint: Path, tmp_path: Path, case: str
) -> None:
    native = judged(library, CASES[case], tiny_checkpoint, tmp_path, ExportOptions())
    assert native.folder.packaging == "native"
    got = vespa_scores(java, native.folder, QUERIES, DOCUMENTS)
    wanted = native.scores(QUERIES, DOCUMENTS)
    plain = [DOCUMENTS.index(text) for text in without_punctuation(DOCUMENTS)]
    check_scores(got[:, plain], wanted[:, plain])
    effect = np.abs(got - wanted)
    logger.info("punctuation: up to %.3f, mean %.3f", effect.max(), effect.mean())
    assert effect.max() >= PUNCTUATION_EFFECT


TRAINED = {
    "stanford": lambda folder, source: write_stanford(
        folder, source, 96, query_maxlen=32, doc_maxlen=180, attend_to_mask_tokens=False
    ),
    "pylate": prefixed(WIDE_LAYERS, query_length=32, document_length=180),
    "v6": marked(
        WIDE_LAYERS,
        {"document_length": 180, "query_expansion": FIXED | {"length": 32}},
        {"skiplist_words": list(PUNCTUATION)},
    ),
}


@pytest.fixture(scope="module")
def trained(
    request: pytest.FixtureRequest, library: Any, tmp_path_factory: pytest.TempPathFactory
) -> Judged:
    return judged(library, TRAINED[request.param], minilm(), tmp_path_factory.mktemp("trained"))


@pytest.mark.slow
@pytest.mark.parametrize("trained", TRAINED, indirect=True)
def test_exact_scores_of_a_trained_encoder(java: VespaJava, trained: Judged) -> None:
    got = vespa_scores(java, trained.folder, QUERIES, DOCUMENTS)
    check_scores(got, trained.scores(QUERIES, DOCUMENTS))


@pytest.mark.slow
@pytest.mark.parametrize("trained", TRAINED, indirect=True)
def test_exact_scores_of_adversarial_texts_by_a_trained_encoder(
    java: VespaJava, trained: Judged, adversarial: tuple[str, ...]
) -> None:
    texts = tuple(text for text in adversarial[::3] if not MARKER_TEXT.search(text))
    got = vespa_scores(java, trained.folder, texts[::20], texts)
    check_scores(got, trained.scores(texts[::20], texts))
