"""What a variant looks at, and what it adds to the package."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import Component, PackagedFile
from vespa_colbert.app.field import Field
from vespa_colbert.app.options import AppOptions
from vespa_colbert.app.profile import OnnxModel, RankProfile
from vespa_colbert.app.query import Query
from vespa_colbert.app.variants.tokens import TokenField, token_fields
from vespa_colbert.export.model_folder import EmbedderSpec

__all__ = ["Design", "Part"]


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
    def source(self) -> str:
        """The indexing statement's text that is embedded."""
        if self.options.embed_title:
            return '(input title || "") . " " . (input text || "")'
        return "input text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a variant adds.

    Attributes:
        fields: Fields of the schema, in the order printed.
        profiles: Rank profiles, in the order printed.
        onnx_models: Models of the schema.
        components: Components of the container.
        files: Files beside those of the components.
        queries: How its profiles are asked.
    """

    fields: tuple[Field, ...] = ()
    profiles: tuple[RankProfile, ...] = ()
    onnx_models: tuple[OnnxModel, ...] = ()
    components: tuple[Component, ...] = ()
    files: tuple[PackagedFile, ...] = ()
    queries: tuple[Query, ...] = ()
