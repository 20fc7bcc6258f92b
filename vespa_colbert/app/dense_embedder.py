"""The component that turns a text into one vector: Vespa's ``hugging-face-embedder``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from vespa_colbert.app.component import Element, ModelFile, PackagedFile, RemoteFile, file_fault
from vespa_colbert.app.faults import named
from vespa_colbert.app.texts import component_name_fault, element_fault
from vespa_colbert.export.dense_spec import DenseSpec, Pooling, Similarity, read_dense_spec
from vespa_colbert.export.model_folder import MODEL_FILE, TOKENIZER_FILE

__all__ = ["DENSE_NAME", "DenseEmbedder", "read_dense_embedder"]

DENSE_NAME = "dense"

UNPOOLED_SINCE = "8.564.13"
"""First release that knows the pooling ``none``."""

ONE_INPUT_SINCE = "8.573.19"
"""First release that runs a graph without an input of attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseEmbedder:
    """A component of type ``hugging-face-embedder``.

    Attributes:
        name: Its id, which indexing statements and queries name.
        facts: What it must know beside its two files.
        transformer: The ONNX model.
        tokenizer: The tokenizer file.
    """

    name: str = DENSE_NAME
    facts: DenseSpec
    transformer: ModelFile
    tokenizer: ModelFile

    @property
    def type(self) -> str:
        """Vespa's name of its kind."""
        return "hugging-face-embedder"

    @property
    def models(self) -> tuple[tuple[str, ModelFile], ...]:
        """Element → the file that it points at."""
        return ("transformer-model", self.transformer), ("tokenizer-model", self.tokenizer)

    @property
    def elements(self) -> tuple[Element, ...]:
        """Every element but the two files, in the order printed.

        That of token types stands there empty for a graph without them: releases before 8.573
        ask for an input of their default name otherwise.

        Source: common.rnc, HuggingFaceEmbedder, Vespa 8.337.85 and 8.700.24.
        """
        facts = self.facts
        attention = (Element("transformer-attention-mask", facts.attention_mask),)
        put_before = (
            Element("query", facts.query_prepend),
            Element("document", facts.document_prepend),
        )
        stated = tuple(each for each in put_before if each.text)
        return (
            Element("max-tokens", str(facts.max_tokens)),
            Element("transformer-input-ids", facts.input_ids),
            *(attention if facts.attention_mask else ()),
            Element("transformer-token-type-ids", facts.token_type_ids),
            Element("transformer-output", facts.output),
            Element("normalize", "true" if facts.normalize else "false"),
            *((Element("prepend", children=stated),) if stated else ()),
            Element("pooling-strategy", facts.pooling),
        )

    @property
    def runs_onnx(self) -> bool:
        """Whether it runs a model, so that it takes the elements of ONNX Runtime."""
        return True

    @property
    def since(self) -> str:
        """The first release that takes every element, or empty where any does."""
        if not self.facts.attention_mask:
            return ONE_INPUT_SINCE
        return UNPOOLED_SINCE if self.facts.pooling == "none" else ""

    @property
    def summary(self) -> str:
        """What it does, in a sentence for the package's README."""
        facts = self.facts
        return (
            f"turns a text of up to {facts.max_tokens} tokens into one vector of {facts.dim} "
            "components"
        )

    def faults(self) -> Iterator[str]:
        """Yield why Vespa could not take or run it; texts may be empty."""
        yield from named("component", component_name_fault(self.name))
        for file in (self.transformer, self.tokenizer):
            yield file_fault(file)
        yield from _fact_faults(self.facts)


def read_dense_embedder(
    folder: Path, *, transformer: RemoteFile | None = None, tokenizer: RemoteFile | None = None
) -> DenseEmbedder:
    """Return the embedder of a model folder.

    Args:
        folder: Has ``embedder.json``, and the two files where they travel in the package.
        transformer: Where the ONNX file is published; absent to pack that of the folder.
        tokenizer: Where the tokenizer file is published; absent to pack that of the folder.

    Raises:
        SpecError: If the facts cannot be read.
    """
    return DenseEmbedder(
        facts=read_dense_spec(folder),
        transformer=transformer
        or PackagedFile(path="files/dense.onnx", source=folder / MODEL_FILE),
        tokenizer=tokenizer
        or PackagedFile(path="files/dense-tokenizer.json", source=folder / TOKENIZER_FILE),
    )


def _fact_faults(facts: DenseSpec) -> Iterator[str]:
    """Yield facts that no embedder can work with."""
    for name in ("dim", "max_tokens"):
        value = getattr(facts, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield f"{name}: expected a whole number of 1 or more, got {value!r}"
    for name, known in (("pooling", get_args(Pooling)), ("similarity", get_args(Similarity))):
        if getattr(facts, name) not in known:
            yield f"{name}: expected one of {', '.join(known)}, got {getattr(facts, name)!r}"
    if not isinstance(facts.normalize, bool):
        yield f"normalize: expected true or false, got {facts.normalize!r}"
    yield from _name_faults(facts)
    for name in ("query_prepend", "document_prepend"):
        text = getattr(facts, name)
        if not isinstance(text, str) or element_fault(text.replace("\n", "") or "-"):
            yield f"{name}: expected a text, got {text!r:.80}"
        elif text and not text.strip():
            yield f"{name}: Vespa leaves out what is only space, got {text!r}"


def _name_faults(facts: DenseSpec) -> Iterator[str]:
    """Yield inputs and outputs that no graph has."""
    for name in ("input_ids", "attention_mask", "token_type_ids", "output"):
        text = str(getattr(facts, name))
        is_left_out = not text and name in {"attention_mask", "token_type_ids"}
        yield from named(name, "" if is_left_out else element_fault(text))
    if facts.token_type_ids and not facts.attention_mask:
        yield "token_type_ids: Vespa gives them only to a graph that takes attention too"
