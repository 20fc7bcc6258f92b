"""The component that makes token vectors: Vespa's ``colbert-embedder``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from vespa_colbert.app.component import Element, ModelFile, file_fault
from vespa_colbert.app.faults import named
from vespa_colbert.app.texts import component_name_fault, element_fault
from vespa_colbert.export.model_folder import EmbedderSpec

__all__ = ["ATTEND_TO_EXPANSION_SINCE", "Embedder"]

ATTEND_TO_EXPANSION_SINCE = "8.691.19"
"""First release that knows the element ``attend-to-expansion-tokens``."""

ELEMENTS = (
    ("max-tokens", "max_tokens"),
    ("max-query-tokens", "max_query_tokens"),
    ("max-document-tokens", "max_document_tokens"),
    ("transformer-start-sequence-token", "start_id"),
    ("transformer-end-sequence-token", "end_id"),
    ("transformer-mask-token", "mask_id"),
    ("transformer-pad-token", "pad_id"),
    ("query-token-id", "query_marker_id"),
    ("document-token-id", "document_marker_id"),
)
"""Element of services.xml → fact of the embedder. Source: common.rnc, ColBertEmbedder, 8.700.24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """A component of type ``colbert-embedder``.

    Attributes:
        name: Its id, which indexing statements and queries name.
        facts: What it must know beside its two files.
        transformer: The ONNX model.
        tokenizer: The tokenizer file.
        input_ids: Name of the model's input of token ids.
        attention_mask: Name of the model's input of attention.
        output: Name of the model's output.
    """

    name: str
    facts: EmbedderSpec
    transformer: ModelFile
    tokenizer: ModelFile
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    output: str = "contextual"

    @property
    def elements(self) -> tuple[Element, ...]:
        """Every element but the two files, in the order printed.

        ``attend-to-expansion-tokens`` is only there when it must be: older releases refuse it.
        """
        numbers = (Element(name, str(getattr(self.facts, fact))) for name, fact in ELEMENTS)
        quiet = (Element("attend-to-expansion-tokens", "false"),)
        expansion = () if self.facts.expansion_emitted else quiet
        return (
            *numbers,
            *expansion,
            Element("transformer-input-ids", self.input_ids),
            Element("transformer-attention-mask", self.attention_mask),
            Element("transformer-output", self.output),
        )

    @property
    def type(self) -> str:
        """Vespa's name of its kind."""
        return "colbert-embedder"

    @property
    def models(self) -> tuple[tuple[str, ModelFile], ...]:
        """Element → the file that it points at."""
        return ("transformer-model", self.transformer), ("tokenizer-model", self.tokenizer)

    @property
    def runs_onnx(self) -> bool:
        """Whether it runs a model, so that it takes the elements of ONNX Runtime."""
        return True

    @property
    def since(self) -> str:
        """The first release that takes every element, or empty where any does."""
        return "" if self.facts.expansion_emitted else ATTEND_TO_EXPANSION_SINCE

    @property
    def summary(self) -> str:
        """What it does, in a sentence for the package's README."""
        facts = self.facts
        return (
            f"turns a text into one vector of {facts.dim} components for each token, up to "
            f"{facts.max_query_tokens} tokens of a query and {facts.max_document_tokens} of a "
            "document"
        )

    def faults(self) -> Iterator[str]:
        """Yield why Vespa could not take or run it; texts may be empty."""
        yield component_name_fault(self.name)
        for name in ("input_ids", "attention_mask", "output"):
            yield from named(name, element_fault(getattr(self, name)))
        for file in (self.transformer, self.tokenizer):
            yield file_fault(file)
        yield from _fact_faults(self.facts)


def _fact_faults(facts: EmbedderSpec) -> Iterator[str]:
    """Yield facts that no embedder can work with.

    Source: ColBertEmbedder, Vespa 8.700.24: start, marker and end take three places of every text.
    """
    lengths = {"dim", "max_query_tokens", "max_document_tokens", "max_tokens"}
    for each in fields(facts):
        value = getattr(facts, each.name)
        least = 1 if each.name in lengths else 0
        if each.name == "expansion_emitted":
            if not isinstance(value, bool):
                yield f"{each.name}: expected true or false, got {value!r}"
        elif isinstance(value, bool) or not isinstance(value, int) or value < least:
            yield f"{each.name}: expected a whole number of {least} or more, got {value!r}"
        elif "tokens" in each.name and value < 4:
            yield f"{each.name}: expected room for start, marker, end and a token, got {value}"
