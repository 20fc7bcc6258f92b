"""Vespa's colbert-embedder in Python: ids, attention, rows and cells as its Java makes them.

It reads the same two files and the same facts as services.xml gives to Vespa, and shares no code
with the judge that runs the Java.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder.tokenizer import encoded, open_tokenizer
from vespa_colbert.errors import ArrayError, ExportError
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.export.onnx_session import open_session
from vespa_colbert.export.openvino_session import open_bfloat16_session
from vespa_colbert.processors import processors

__all__ = ["LocalEmbedder", "Role", "Runtime", "TransformerInput", "require_finite"]

Role: TypeAlias = Literal["query", "document"]
Runtime: TypeAlias = Literal["onnxruntime", "openvino-bf16"]
"""What computes: ONNX Runtime in float32, as Vespa does; OpenVINO in bfloat16, faster and not
exact."""

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
SPECIALS = 3
"""Tokens that the embedder adds to a text: start, marker, end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerInput:
    """What the encoder is given for one text.

    Attributes:
        ids: Token ids, expansion included.
        attention: 1 for every token of the text and its specials, 0 for expansion.
        emitted: How many of the encoder's rows become token vectors.
    """

    ids: tuple[int, ...]
    attention: tuple[int, ...]
    emitted: int


class LocalEmbedder:
    """The embedder of one model folder.

    One text goes through the encoder at a time, without padding, as in Vespa: sign bits of
    components next to zero depend on the last digits, which a padded batch would change.

    Source: ColBertEmbedder, Vespa 8.700.24.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        threads: int = 0,
        calls: int = 1,
        runtime: Runtime = "onnxruntime",
    ) -> None:
        """Open tokenizer and model.

        Args:
            folder: A model folder.
            threads: Threads of a call; 0 for one a core.
            calls: How many calls of ``encode`` run at a time.
            runtime: What computes.

        Raises:
            MissingExtraError: If tokenizers, or onnxruntime or openvino, is not installed.
            SpecError: If bfloat16 is wanted of a processor that has none.
            ExportError: If a file cannot be read, the model has other inputs or outputs, or another
                width, than its facts, or a limit leaves no room for the specials.
        """
        spec = folder.embedder
        limits = spec.max_query_tokens, spec.max_document_tokens, spec.max_tokens
        if min(limits) < SPECIALS:
            raise ExportError(
                f"{folder.path}: expected limits of {SPECIALS} tokens or more, got {limits}"
            )
        self.folder = folder
        self.spec: EmbedderSpec = folder.embedder
        self._tokenizer = open_tokenizer(folder.tokenizer_path, folder.embedder.max_tokens)
        self._session = _open_session(folder, threads or processors(), calls, runtime)
        self._skip_ids = frozenset(
            token for character in PUNCTUATION for token in self.token_ids(character)
        )

    @property
    def skip_ids(self) -> frozenset[int]:
        """Ids that a document loses before the encoder: all ids of each punctuation character."""
        return self._skip_ids

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text without specials, cut to the encoder's positions.

        Raises:
            CollectionError: If the text holds half of a surrogate pair, which is no character.
        """
        return encoded(self._tokenizer, text, specials=False)

    def transformer_input(self, text: str, role: Role) -> TransformerInput:
        """Return ids and attention as the encoder gets them.

        Source: ColBertEmbedder.buildTransformerInput, Vespa 8.700.24.
        """
        spec, tokens = self.spec, self.token_ids(text)
        is_query = role == "query"
        if not is_query:
            tokens = tuple(token for token in tokens if token not in self._skip_ids)
        limit = min(
            spec.max_query_tokens if is_query else spec.max_document_tokens, spec.max_tokens
        )
        marker = spec.query_marker_id if is_query else spec.document_marker_id
        ids = (spec.start_id, marker, *tokens[: limit - SPECIALS], spec.end_id)
        expansion = limit - len(ids) if is_query else 0
        return TransformerInput(
            ids=ids + (spec.mask_id,) * expansion,
            attention=(1,) * len(ids) + (0,) * expansion,
            emitted=len(ids) + (expansion if spec.expansion_emitted else 0),
        )

    def tokens(self, text: str, role: Role) -> tuple[str, ...]:
        """Return the token behind each emitted row, as the vocabulary writes it."""
        given = self.transformer_input(text, role)
        return tuple(self._tokenizer.id_to_token(each) or "" for each in given.ids[: given.emitted])

    def embed(self, text: str, role: Role) -> TokenVectors:
        """Return the token vectors of a text: (token, dim) float32.

        Raises:
            ArrayError: If the model gives a value that is not finite.
        """
        (vectors,) = self.encode([self.transformer_input(text, role)])
        require_finite(vectors, text)
        return vectors

    def encode(self, inputs: Sequence[TransformerInput]) -> list[TokenVectors]:
        """Return what the encoder makes of texts of one length, in one call: (token, dim) float32.

        Args:
            inputs: One at least, all with as many ids.
        """
        feeds = {
            "input_ids": np.array([each.ids for each in inputs], np.int64),
            "attention_mask": np.array([each.attention for each in inputs], np.int64),
        }
        (contextual,) = self._session.run(["contextual"], feeds)
        return [rows[: each.emitted] for rows, each in zip(contextual, inputs, strict=True)]


def require_finite(vectors: TokenVectors, text: str) -> None:
    """Return nothing if all token vectors of a text are numbers.

    Raises:
        ArrayError: If the model gave something else.
    """
    if not np.isfinite(vectors).all():
        raise ArrayError(f"contextual: expected finite values, got NaN or infinity for {text!r}")


def _open_session(folder: ModelFolder, threads: int, calls: int, runtime: Runtime) -> Any:
    """Return a session after a look at its inputs and output.

    Raises:
        MissingExtraError: If the runtime is not installed.
        ExportError: If the file is no model, or names or the width are not what Vespa needs.
        SpecError: If bfloat16 is wanted of a processor that has none.
    """
    try:
        session: Any = (
            open_session(folder.model_path, threads=threads)
            if runtime == "onnxruntime"
            else open_bfloat16_session(folder.model_path, calls=calls, threads=threads)
        )
    except ExportError as error:
        raise ExportError(f"{folder.model_path}: {error}; export again") from error
    _check_names(session, folder)
    return session


def _check_names(session: Any, folder: ModelFolder) -> None:
    """Return nothing if a session has the inputs and the output that Vespa needs.

    Raises:
        ExportError: If not.
    """
    inputs = sorted(each.name for each in session.get_inputs())
    outputs = {each.name: each.shape for each in session.get_outputs()}
    if inputs != ["attention_mask", "input_ids"] or "contextual" not in outputs:
        raise ExportError(
            f"{folder.model_path}: expected inputs input_ids and attention_mask and output "
            f"contextual, got {', '.join(inputs)} and {', '.join(outputs)}; export again"
        )
    shape = outputs["contextual"]
    if len(shape) != 3 or shape[-1] != folder.embedder.dim:
        raise ExportError(
            f"{folder.model_path}: expected contextual (batch, sequence, {folder.embedder.dim}), "
            f"got {shape}; export again"
        )
