"""What one may choose about an application package, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vespa_colbert.app.application import MINIMUM_VESPA_VERSION
from vespa_colbert.app.cross_encoder import CrossEncoder
from vespa_colbert.app.dense_embedder import DenseEmbedder
from vespa_colbert.app.nodes import ONE_NODE, Cloud, Nodes
from vespa_colbert.app.residual_vectors import ResidualVectors
from vespa_colbert.export.dense_spec import Similarity
from vespa_colbert.tensor import CellType

__all__ = [
    "AppOptions",
    "Chunker",
    "CrossEncoding",
    "DenseVectors",
    "Embeddings",
    "Fusing",
    "Fusion",
    "Layout",
    "LexicalWeights",
    "Mode",
    "ResidualVectors",
    "Storage",
    "TokenRetrieval",
    "Words",
]

Layout = Literal["passage", "contexts", "chunks"]
"""What a document is: a passage, a list of contexts, or a text that Vespa cuts into chunks."""

Mode = Literal["index", "streaming"]
"""How Vespa finds documents: by indexes, or by reading those of one group (personal search)."""


Embeddings = Literal["vespa", "client"]
"""Who embeds: Vespa's container, or whoever feeds and asks."""

Storage = Literal["memory", "paged", "fast-rank"]
"""Where token vectors are kept: in memory, on disk until they are needed, or in memory as ranking
reads them. Vespa takes one of the last two at most."""

Chunker = Literal["fixed-length", "sentence"]
"""Who cuts a text into chunks. Source: ApplicationContainerCluster, Vespa 8.700.24."""


Fusing = Literal["reciprocal-rank", "normalized", "weighted", "max-sim"]
"""How scores become one: by their places in the window of the global phase, as a weighted sum of
what each is between the least and the largest there, or as a weighted sum as they are. In the last
one nothing is fused: MaxSim alone ranks again what words and vectors find."""

Words = Literal["together", "apart", "none"]
"""How words take part: as the sum of the bm25 of all fields, one score for each field, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRetrieval:
    """Finding documents by the tokens of the query alone: a graph over all token vectors.

    Attributes:
        max_links: Links that a node of the graph has at most: ``max-links-per-node``.
        neighbors_to_explore: Neighbours looked at when a vector is added.
        target_hits: Documents that each token of the query finds, on each content node.
    """

    max_links: int = 32
    neighbors_to_explore: int = 400
    target_hits: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseVectors:
    """One vector for a whole text, beside those of its tokens: a field ``dense`` with a graph.

    Attributes:
        embedder: The component that makes them; ``None`` where whoever feeds and asks sends them.
        similarity: How vectors that are sent are compared; a component's model says it itself.
        cell_type: Cells of the field: float, bfloat16, or int8 for one bit a component.
        dim: Components that are stored; 0 for all that the model gives.
        max_links: As for token vectors.
        neighbors_to_explore: As for token vectors.
        target_hits: Documents that a query finds by its vector, on each content node.
    """

    embedder: DenseEmbedder | None
    similarity: Similarity = "cosine"
    cell_type: CellType = CellType.FLOAT
    dim: int = 0
    max_links: int = 16
    neighbors_to_explore: int = 200
    target_hits: int = 100

    @property
    def stored(self) -> int:
        """Components that are stored."""
        return self.dim or (0 if self.embedder is None else self.embedder.facts.dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalWeights:
    """A weight for each distinct token of a text, sent by whoever feeds and asks: ``lexical``.

    Attributes:
        cell_type: Of the weights: float or bfloat16.
    """

    cell_type: CellType = CellType.BFLOAT16


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Words, dense vectors and lexical weights where there are any, and MaxSim: ``hybrid_…``.

    Attributes:
        fusing: How.
        first_phase: What ranks all matches: ``dense`` or ``words``; words where there are no dense
            vectors; ``fused`` for the sum of the scores as they are, in one phase.
        words: How words take part in what is fused.
        max_sim: Whether MaxSim is a ``sum`` over the query's tokens or their ``mean``.
        dense_score: What dense vectors say: ``closeness``, by the metric of their field, or the
            ``cosine`` of their angle.
        k: The constant of the reciprocal rank, 1 / (k + rank).
        max_sim_weight: Weight of MaxSim in a sum, unless the query brings ``max_sim_weight``.
        dense_weight: Weight of what dense vectors say.
        words_weight: Weight of bm25.
        lexical_weight: Weight of lexical weights.
        rerank_count: Hits that the global phase ranks again.
    """

    fusing: Fusing = "reciprocal-rank"
    first_phase: Literal["dense", "words", "fused"] = "dense"
    words: Words = "together"
    max_sim: Literal["sum", "mean"] = "sum"
    dense_score: Literal["closeness", "cosine"] = "closeness"
    k: float = 60.0
    max_sim_weight: float = 0.4
    dense_weight: float = 0.4
    words_weight: float = 0.2
    lexical_weight: float = 0.2
    rerank_count: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoding:
    """A cross-encoder that ranks the best hits in the global phase: ``cross_encode_…``.

    Attributes:
        encoder: The model.
        query_tokens: Tokens of a query that it reads at most; a document gets the rest.
        rerank_count: Hits that it ranks.
        score: The relevance: the model's ``logit``, or its ``sigmoid``, from 0 to 1.
        fused: Whether its place counts beside those of the fused scores, where scores are fused by
            reciprocal rank; otherwise it alone ranks what they find.
    """

    encoder: CrossEncoder
    query_tokens: int = 64
    rerank_count: int = 20
    score: Literal["logit", "sigmoid"] = "logit"
    fused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What one may choose about the package: the table ``[app]`` of a recipe.

    Attributes:
        name: Id of the content cluster and namespace of document ids.
        schema: Name of the schema and of the document type.
        layout: What a document is.
        mode: How documents are found.
        cell_types: One tensor field each, with its rank profiles; none where residuals alone are
            kept.
        dims: Components of a token vector that are stored, a field for each number; empty for all
            that the model gives. Vespa cuts without normalising again.
        rerank_count: Hits that the second phase ranks again, on each content node.
        embed_title: Whether the title stands before the text that is embedded.
        bm25_k1: How much a word counts that is there again, in bm25; ``None`` for Vespa's 1.2.
        bm25_b: How much the length of a field counts there; ``None`` for Vespa's 0.75.
        embeddings: Who embeds.
        storage: Where token vectors are kept.
        chunker: Who cuts the text, in the layout ``chunks``.
        chunk_length: Characters of a chunk of fixed length, about.
        token_retrieval: How documents are found by token vectors; ``None`` for not at all.
        residual: The codec of token vectors that are kept as residuals; ``None`` for none.
        dense: Vectors of whole texts; ``None`` for none.
        lexical: Weights of tokens that are sent; ``None`` for none.
        fusion: How words and vectors are brought together; ``None`` for not at all.
        cross_encoding: The model that reads query and document together; ``None`` for none.
        query_profiles: Whether each rank profile has a query profile that fills its inputs.
        nodes: Where it runs.
        cloud: What Vespa Cloud has to know; ``None`` for hosts of one's own.
        minimum_vespa_version: Lowest release to accept.
    """

    name: str = "passages"
    schema: str = "passage"
    layout: Layout = "passage"
    mode: Mode = "index"
    cell_types: tuple[CellType, ...] = (CellType.FLOAT, CellType.INT8)
    dims: tuple[int, ...] = ()
    rerank_count: int = 100
    embed_title: bool = True
    bm25_k1: float | None = None
    bm25_b: float | None = None
    embeddings: Embeddings = "vespa"
    storage: Storage = "memory"
    chunker: Chunker = "fixed-length"
    chunk_length: int = 1024
    token_retrieval: TokenRetrieval | None = None
    residual: ResidualVectors | None = None
    dense: DenseVectors | None = None
    lexical: LexicalWeights | None = None
    fusion: Fusion | None = None
    cross_encoding: CrossEncoding | None = None
    query_profiles: bool = True
    nodes: Nodes = ONE_NODE
    cloud: Cloud | None = None
    minimum_vespa_version: str = MINIMUM_VESPA_VERSION
