"""The tables of a recipe: every key with its default, its range and what it means."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vespa_colbert.app import MINIMUM_VESPA_VERSION, AppOptions, RemoteFile
from vespa_colbert.app.options import Layout, Mode
from vespa_colbert.checkpoint import ReadOptions
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.export import DEFAULT_OPSET, ExportOptions
from vespa_colbert.recipe.head_table import HeadTable
from vespa_colbert.recipe.hybrid_tables import (
    CrossEncoderTable,
    DenseTable,
    FusionTable,
    LexicalTable,
)
from vespa_colbert.recipe.node_tables import CloudTable, NodesTable
from vespa_colbert.recipe.table import (
    CheckpointPath,
    ClusterName,
    Measure,
    ProfileName,
    RecipePath,
    SchemaName,
    Table,
    Url,
    Version,
    each_at_most_once,
    each_once,
)
from vespa_colbert.recipe.token_table import TokensTable
from vespa_colbert.recipe.train_table import TrainTable
from vespa_colbert.tensor import CellType

__all__ = ["Recipe", "Table", "tables"]

EXPORT_FIELDS = [each.name for each in fields(ExportOptions) if each.name != "vespa_version"]
"""Options of an export that have a key of the same name in its table."""


class CheckpointTable(Table):
    """The checkpoint to convert."""

    path: CheckpointPath | None = Field(
        default=None,
        description="Its folder, or the name of a model on the Hub.",
        examples=["checkpoint"],
    )
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the Hub.", examples=["main"]
    )
    allow_pickle: bool = Field(
        default=False, description="Whether torch files (.bin, .pt) are opened: tensors only."
    )
    head: RecipePath | None = Field(
        default=None,
        description="File with the projection, where the folder holds a plain encoder.",
        examples=["head.safetensors"],
    )
    query_marker: str | None = Field(
        default=None,
        description='Token after the start token of a query, where no file says it; "" for none.',
        examples=["[unused0]"],
    )
    document_marker: str | None = Field(
        default=None, description="The same for documents.", examples=["[unused1]"]
    )
    max_query_tokens: int | None = Field(
        default=None,
        ge=4,
        description="Tokens of a query, start, marker and end included, where no file says it.",
        examples=[32],
    )
    max_document_tokens: int | None = Field(
        default=None, ge=4, description="Tokens of a document, counted alike.", examples=[180]
    )
    query_expansion: bool | None = Field(
        default=None,
        description="Whether queries are filled up with mask tokens, where no file says it.",
        examples=[True],
    )
    expansion_attended: bool | None = Field(
        default=None, description="Whether the other tokens attend to them.", examples=[False]
    )
    skip_words: tuple[str, ...] | None = Field(
        default=None,
        description="Words left out of documents after encoding, where no file says it.",
        examples=[(".", ",")],
    )

    @property
    def options(self) -> ReadOptions:
        """What the reader of a checkpoint takes."""
        return ReadOptions(**{each.name: getattr(self, each.name) for each in fields(ReadOptions)})


class ExportTable(Table):
    """The model folder."""

    output: RecipePath = Field(default=Path("output/model"), description="Where it is written.")
    opset: int = Field(default=DEFAULT_OPSET, ge=17, le=23, description="ONNX operator set.")
    packaging: Literal["auto", "native", "exact"] = Field(
        default="auto",
        description="native: the plain graph; exact: the training library's semantics built in.",
    )
    dims: int | None = Field(
        default=None,
        ge=1,
        description="Components to leave of a token vector (Matryoshka), where not all.",
        examples=[96],
    )
    accept_drift: bool = Field(
        default=False,
        description=(
            "Whether a model is written whose scores in Vespa are not the library's, or whose "
            "dtype loses more than is allowed."
        ),
    )
    dtype: Literal["fp32", "fp16", "int8"] = Field(
        default="fp32",
        description="Of the weights; fp16 and int8 are measured on sample texts.",
    )
    optimize: bool = Field(
        default=False,
        description=(
            "Whether attention is one operator of ONNX Runtime where nothing is padded (BERT and "
            "its like)."
        ),
    )
    verify: bool = Field(default=True, description="Whether the model is compared with torch.")


class ModelTable(Table):
    """A model that is published already: Vespa downloads it and the package holds no copy."""

    transformer_url: Url = Field(
        default="", description="Where the ONNX file is; empty to pack the model folder's files."
    )
    tokenizer_url: Url = Field(default="", description="Where tokenizer.json is.")
    transformer_id: str = Field(
        default="", description="Name that Vespa Cloud has for the model; it goes before the URL."
    )
    tokenizer_id: str = Field(default="", description="The same for the tokenizer.")
    secret_ref: str = Field(
        default="", description="Name of the secret that both downloads are authorised with."
    )
    embedder: RecipePath | None = Field(
        default=None,
        description="JSON file with its facts, like a model folder's embedder.json.",
        examples=["embedder.json"],
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> ModelTable:
        transformer = bool(self.transformer_url or self.transformer_id)
        tokenizer = bool(self.tokenizer_url or self.tokenizer_id)
        if len({transformer, tokenizer, self.embedder is not None}) > 1:
            raise ValueError("expected transformer-url, tokenizer-url and embedder, or none")
        return self

    @property
    def transformer(self) -> RemoteFile:
        """Where the ONNX file is."""
        return RemoteFile(
            url=self.transformer_url, model_id=self.transformer_id, secret_ref=self.secret_ref
        )

    @property
    def tokenizer(self) -> RemoteFile:
        """Where tokenizer.json is."""
        return RemoteFile(
            url=self.tokenizer_url, model_id=self.tokenizer_id, secret_ref=self.secret_ref
        )


class AppTable(Table):
    """The application package."""

    output: RecipePath = Field(default=Path("output/app"), description="Where it is written.")
    name: ClusterName = Field(
        default="passages", description="Id of the content cluster and namespace of document ids."
    )
    schema_name: SchemaName = Field(
        default="passage",
        alias="schema",
        description="Name of the schema and of the document type.",
    )
    layout: Layout = Field(
        default="passage",
        description="What a document is: passage, contexts (a list of texts), chunks (Vespa cuts).",
    )
    mode: Mode = Field(
        default="index",
        description="How documents are found: index, or streaming for one group of them.",
    )
    cell_types: Annotated[
        tuple[Literal["float", "bfloat16", "int8"], ...], AfterValidator(each_at_most_once)
    ] = Field(
        default=("float", "int8"),
        description=(
            "Cells of token vectors: float, bfloat16, int8 (one bit a component); [] where "
            "residuals alone are kept."
        ),
    )
    rerank_count: int = Field(
        default=100,
        ge=1,
        description="Hits that the second phase ranks again, on each content node.",
    )
    embed_title: bool = Field(
        default=True, description="Whether the title stands before the text that is embedded."
    )
    bm25_k1: float | None = Field(
        default=None,
        ge=0.0,
        allow_inf_nan=False,
        description="How much a repeated word counts in bm25, where not 1.2.",
        examples=[0.9],
    )
    bm25_b: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="How much the length of a field counts in bm25, where not 0.75.",
        examples=[0.4],
    )
    query_profiles: bool = Field(
        default=True,
        description="Whether each rank profile has a query profile that fills its inputs.",
    )
    minimum_vespa_version: Version = Field(
        default=MINIMUM_VESPA_VERSION, description="Lowest Vespa release to accept."
    )

    @property
    def options(self) -> AppOptions:
        """What the generator takes of this table; other tables add to it."""
        return AppOptions(
            name=self.name,
            schema=self.schema_name,
            layout=self.layout,
            mode=self.mode,
            cell_types=tuple(CellType(each) for each in self.cell_types),
            rerank_count=self.rerank_count,
            embed_title=self.embed_title,
            bm25_k1=self.bm25_k1,
            bm25_b=self.bm25_b,
            query_profiles=self.query_profiles,
            minimum_vespa_version=self.minimum_vespa_version,
        )


class CorpusTable(Table):
    """The documents."""

    path: RecipePath | None = Field(
        default=None, description="JSONL file with _id, title and text.", examples=["corpus.jsonl"]
    )


class IndexTable(Table):
    """The local index and the feed for Vespa."""

    output: RecipePath = Field(
        default=Path("output/index"), description="Where the index is written."
    )
    feed: RecipePath = Field(
        default=Path("output/feed.jsonl"), description="Where the feed is written."
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="Threads of the model; 0 for all cores."
    )
    pool_factor: float = Field(
        default=1.0,
        ge=1.0,
        allow_inf_nan=False,
        description="Vectors of a document pooled into one; needs embeddings client.",
    )
    protected_tokens: int = Field(
        default=1, ge=0, description="First vectors of a document that are not pooled."
    )

    @property
    def pooling(self) -> TokenPooling:
        """How many vectors of a document are left."""
        return TokenPooling(factor=self.pool_factor, protected=self.protected_tokens)


class SearchTable(Table):
    """A search over the local index."""

    profile: ProfileName = Field(default="max_sim_int8", description="The rank profile.")
    hits: int = Field(default=10, ge=1, description="Hits that are shown.")


class EvaluateTable(Table):
    """Judged queries."""

    queries: RecipePath | None = Field(
        default=None, description="JSONL file with _id and text.", examples=["queries.jsonl"]
    )
    qrels: RecipePath | None = Field(
        default=None, description="Judgements: TSV as in BEIR.", examples=["qrels.tsv"]
    )
    measures: Annotated[tuple[Measure, ...], AfterValidator(each_once)] = Field(
        default=("R@10", "RR@10", "nDCG@10"), description="Measures, as ir_measures has them."
    )


class VerifyTable(Table):
    """The comparison with Vespa's own code."""

    output: RecipePath = Field(
        default=Path("output/parity.json"), description="Where the report is written."
    )
    documents: int = Field(default=50, ge=1, description="Documents embedded by both sides.")
    queries: int = Field(default=10, ge=1, description="Queries embedded by both sides.")
    pairs: int = Field(default=100, ge=1, description="Pairs scored by both sides.")
    seed: int = Field(default=0, ge=0, description="Seed of the sample.")


class Recipe(Table):
    """What every stage is to do. Paths are absolute or relative to the working folder.

    ``None`` stands only for a file that was not named.
    """

    checkpoint: CheckpointTable = Field(default_factory=CheckpointTable)
    head: HeadTable = Field(default_factory=HeadTable)
    train: TrainTable = Field(default_factory=TrainTable)
    export: ExportTable = Field(default_factory=ExportTable)
    model: ModelTable = Field(default_factory=ModelTable)
    app: AppTable = Field(default_factory=AppTable)
    tokens: TokensTable = Field(default_factory=TokensTable)
    dense: DenseTable = Field(default_factory=DenseTable)
    lexical: LexicalTable = Field(default_factory=LexicalTable)
    fusion: FusionTable = Field(default_factory=FusionTable)
    cross_encoder: CrossEncoderTable = Field(default_factory=CrossEncoderTable)
    nodes: NodesTable = Field(default_factory=NodesTable)
    cloud: CloudTable = Field(default_factory=CloudTable)
    corpus: CorpusTable = Field(default_factory=CorpusTable)
    index: IndexTable = Field(default_factory=IndexTable)
    search: SearchTable = Field(default_factory=SearchTable)
    evaluate: EvaluateTable = Field(default_factory=EvaluateTable)
    verify: VerifyTable = Field(default_factory=VerifyTable)

    @property
    def export_options(self) -> ExportOptions:
        """What the exporter takes; the model has to load in the lowest Vespa release."""
        own = {name: getattr(self.export, name) for name in EXPORT_FIELDS}
        return ExportOptions(**own, vespa_version=self.app.minimum_vespa_version)

    @property
    def app_options(self) -> AppOptions:
        """What the generator takes, from all its tables."""
        in_cloud = self.nodes.target == "cloud"
        return replace(
            self.app.options,
            **self.tokens.choices,
            dense=self.dense.vectors,
            lexical=self.lexical.chosen,
            fusion=self.fusion.fusion,
            cross_encoding=self.cross_encoder.encoding,
            nodes=self.nodes.nodes,
            cloud=self.cloud.cloud if in_cloud else None,
        )


def tables() -> dict[str, type[Table]]:
    """Return the tables of a recipe by name."""
    found = {}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            found[field.alias or name] = field.annotation
    return found
