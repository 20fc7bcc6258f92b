"""What a variant looks at, and what it adds to the package."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import Component, PackagedFile, Pairs
from vespa_colbert.app.field import Field
from vespa_colbert.app.options import AppOptions
from vespa_colbert.app.profile import Constant, OnnxModel, RankProfile
from vespa_colbert.app.query import ANY_WORD, NearestTokens, Query
from vespa_colbert.app.variants.tokens import OUTER, TokenField, token_fields
from vespa_colbert.export.model_folder import EmbedderSpec

__all__ = ["BLANK_LEFT_OUT_SINCE", "SENT", "Design", "Part"]

SENT = ""
"""What stands for the way to fill a field or an input that whoever feeds and asks knows alone."""

BLANK_LEFT_OUT_SINCE = "8.638.30"
"""First release that embeds no blank texts of a list. Its chunkers cut as they do today.

Source: EmbedExpression and FixedLengthChunker from Vespa 8.516.26, which has chunkers first, on.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the package is to be made from.

    Attributes:
        options: The choices.
        embedder: The component that makes token vectors.
    """

    options: AppOptions
    embedder: Embedder

    @property
    def facts(self) -> EmbedderSpec:
        """What the model gives."""
        return self.embedder.facts

    @property
    def tokens(self) -> tuple[TokenField, ...]:
        """The fields that hold token vectors: cell types outside, dims inside."""
        return token_fields(self.options, self.facts.dim)

    @property
    def chunk(self) -> str:
        """What cuts a text into chunks, in an indexing statement."""
        options = self.options
        length = f" {options.chunk_length}" if options.chunker == "fixed-length" else ""
        return f"chunk {options.chunker}{length}"

    @property
    def source(self) -> str:
        """The indexing statement's text that is embedded, or its list of texts."""
        layout = self.options.layout
        titled = self.options.embed_title
        if layout == "passage":
            return '(input title || "") . " " . (input text || "")' if titled else "input text"
        texts = "input contexts" if layout == "contexts" else f"input text | {self.chunk}"
        return f'{texts} | for_each {{ (input title || "") . " " . _ }}' if titled else texts

    @property
    def embed(self) -> str:
        """What embeds them, in an indexing statement."""
        outer = "" if self.options.layout == "passage" else f" {OUTER}"
        return f"embed {self.embedder.name}{outer}"

    @property
    def since(self) -> str:
        """The first release that indexes as it is done here; empty where any does."""
        is_list = self.options.layout != "passage"
        return BLANK_LEFT_OUT_SINCE if is_list and not self.is_client else ""

    @property
    def is_client(self) -> bool:
        """Whether whoever feeds and asks embeds, and Vespa does not."""
        return self.options.embeddings == "client"

    @property
    def asked(self) -> str:
        """What fills an input of the query's token vectors; empty where the client sends them."""
        return "" if self.is_client else f"embed({self.embedder.name}, @text)"

    def query(
        self,
        *,
        profile: str,
        where: str = ANY_WORD,
        inputs: Pairs = (),
        nearest: NearestTokens | None = None,
    ) -> Query:
        """Return how a rank profile is asked in this design.

        Args:
            profile: Its name.
            where: The condition of the YQL.
            inputs: Input → what fills it.
            nearest: What finds documents in the place of the condition.
        """
        group = (("streaming.groupname", ""),) if self.options.mode == "streaming" else ()
        return Query(profile=profile, where=where, inputs=inputs, parameters=group, nearest=nearest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a variant adds.

    Attributes:
        fields: Fields of the schema, in the order printed.
        profiles: Rank profiles, in the order printed.
        constants: Constants of the schema, in files.
        onnx_models: Models of the schema.
        components: Components of the container.
        files: Files beside those of the components.
        queries: How its profiles are asked.
        fed: Field that whoever feeds fills → the statement that says with what. It embeds where the
            model of token vectors makes it; else it says of which text it is made, or nothing.
    """

    fields: tuple[Field, ...] = ()
    profiles: tuple[RankProfile, ...] = ()
    constants: tuple[Constant, ...] = ()
    onnx_models: tuple[OnnxModel, ...] = ()
    components: tuple[Component, ...] = ()
    files: tuple[PackagedFile, ...] = ()
    queries: tuple[Query, ...] = ()
    fed: Pairs = ()
