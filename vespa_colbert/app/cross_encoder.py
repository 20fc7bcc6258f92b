"""A model that reads a query and a document together, and the component that makes its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.app.component import Element, ModelFile, PackagedFile, file_fault
from vespa_colbert.app.texts import component_name_fault, property_fault
from vespa_colbert.checkpoint.pair_form import PairForm, read_pair_form
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec, read_cross_encoder_spec
from vespa_colbert.export.model_folder import MODEL_FILE, TOKENIZER_FILE

__all__ = ["CrossEncoder", "Tokenizer", "read_cross_encoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A component of type ``hugging-face-tokenizer``: token ids without special tokens, uncut.

    Attributes:
        name: Its id, which indexing statements and queries name.
        tokenizer: The tokenizer file.

    Source: HuggingFaceTokenizer of the config model, Vespa 8.700.24.
    """

    name: str
    tokenizer: ModelFile

    @property
    def type(self) -> str:
        """Vespa's name of its kind."""
        return "hugging-face-tokenizer"

    @property
    def models(self) -> tuple[tuple[str, ModelFile], ...]:
        """Element → the file that it points at."""
        return (("model", self.tokenizer),)

    @property
    def elements(self) -> tuple[Element, ...]:
        """Every element but the file: none."""
        return ()

    @property
    def runs_onnx(self) -> bool:
        """Whether it runs a model: it does not."""
        return False

    @property
    def since(self) -> str:
        """The first release that takes every element: any does."""
        return ""

    @property
    def summary(self) -> str:
        """What it does, in a sentence for the package's README."""
        return "turns a text into the token ids that the cross-encoder reads"

    def faults(self) -> Iterator[str]:
        """Yield why Vespa could not take or run it; texts may be empty."""
        yield component_name_fault(self.name)
        yield file_fault(self.tokenizer)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoder:
    """A cross-encoder whose files travel in the package: Vespa downloads no model for ranking.

    Attributes:
        facts: What must be known beside its two files.
        pair: How its tokenizer puts query and document together.
        model: The ONNX file.
        tokenizer: The tokenizer file.

    Source: OnnxModel.setUri, Vespa 8.700.24.
    """

    facts: CrossEncoderSpec
    pair: PairForm
    model: PackagedFile
    tokenizer: PackagedFile

    @property
    def room(self) -> int:
        """Tokens that are left for query and document."""
        return self.facts.max_tokens - self.pair.special_tokens

    def faults(self) -> Iterator[str]:
        """Yield why Vespa could not take or run it; texts may be empty."""
        facts = self.facts
        yield file_fault(self.model)
        for name in ("input_ids", "attention_mask", "output"):
            yield property_fault(getattr(facts, name))
        yield property_fault(facts.token_type_ids) if facts.token_type_ids else ""
        if isinstance(facts.max_tokens, bool) or not isinstance(facts.max_tokens, int):
            yield f"max_tokens: expected a whole number, got {facts.max_tokens!r}"
        elif self.room < 2:
            yield f"max_tokens: expected room for both texts, got {facts.max_tokens}"


def read_cross_encoder(folder: Path) -> CrossEncoder:
    """Return the cross-encoder of a model folder.

    Args:
        folder: Has ``model.onnx``, ``tokenizer.json``, and the facts in ``embedder.json``.

    Raises:
        SpecError: If the facts cannot be read.
        CheckpointError: If the tokenizer puts pairs together in a way that is not known.
    """
    return CrossEncoder(
        facts=read_cross_encoder_spec(folder),
        pair=read_pair_form(folder),
        model=PackagedFile(path="files/cross-encoder.onnx", source=folder / MODEL_FILE),
        tokenizer=PackagedFile(
            path="files/cross-encoder-tokenizer.json", source=folder / TOKENIZER_FILE
        ),
    )
