"""Specs → application package, and back: a schema file is read into the same specs."""

from __future__ import annotations

from vespa_colbert.app.application import MINIMUM_VESPA_VERSION, ApplicationSpec
from vespa_colbert.app.build import (
    application_spec,
    folder_embedder,
    published_embedder,
    read_embedder_facts,
)
from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import Component, PackagedFile, RemoteFile
from vespa_colbert.app.cross_encoder import CrossEncoder, read_cross_encoder
from vespa_colbert.app.dense_embedder import DenseEmbedder, read_dense_embedder
from vespa_colbert.app.field import (
    DocumentSummary,
    Field,
    FieldSet,
    ImportedField,
    NamedSettings,
    Struct,
    StructField,
)
from vespa_colbert.app.options import AppOptions, CrossEncoding, DenseVectors, Fusion
from vespa_colbert.app.profile import (
    Constant,
    Diversity,
    FieldRank,
    Function,
    Input,
    MatchPhase,
    Mutation,
    OnnxModel,
    RankProfile,
    Rerank,
)
from vespa_colbert.app.query import Query
from vespa_colbert.app.reader import Application, read_application, read_schema
from vespa_colbert.app.render import (
    ApplicationPackage,
    read_package,
    render_app,
    render_schema,
)
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.templates import eject_templates, template_root
from vespa_colbert.app.variants import field_name

__all__ = [
    "MINIMUM_VESPA_VERSION",
    "AppOptions",
    "Application",
    "ApplicationPackage",
    "ApplicationSpec",
    "Component",
    "Constant",
    "CrossEncoder",
    "CrossEncoding",
    "DenseEmbedder",
    "DenseVectors",
    "Diversity",
    "DocumentSummary",
    "Embedder",
    "Field",
    "FieldRank",
    "FieldSet",
    "Function",
    "Fusion",
    "ImportedField",
    "Input",
    "MatchPhase",
    "Mutation",
    "NamedSettings",
    "OnnxModel",
    "PackagedFile",
    "Query",
    "RankProfile",
    "RemoteFile",
    "Rerank",
    "Schema",
    "Struct",
    "StructField",
    "application_spec",
    "eject_templates",
    "field_name",
    "folder_embedder",
    "published_embedder",
    "read_application",
    "read_cross_encoder",
    "read_dense_embedder",
    "read_embedder_facts",
    "read_package",
    "read_schema",
    "render_app",
    "render_schema",
    "template_root",
]
