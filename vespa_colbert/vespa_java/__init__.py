"""The judge: Vespa's own Java code, run from Python; it shares no code with what it judges."""

from __future__ import annotations

from vespa_colbert.vespa_java.client import VespaJava
from vespa_colbert.vespa_java.documents import JavaDocument
from vespa_colbert.vespa_java.global_phase import JavaHit, NodeHit
from vespa_colbert.vespa_java.jars import VESPA_VERSION, fetch_jars
from vespa_colbert.vespa_java.report import (
    ApplicationReport,
    BlockedChange,
    ChangeReport,
    ConfigChange,
    DenseFiles,
    DeployMessage,
    EmbedderComponent,
    EmbedderFiles,
    JavaEmbedding,
    JavaVector,
)

__all__ = [
    "VESPA_VERSION",
    "ApplicationReport",
    "BlockedChange",
    "ChangeReport",
    "ConfigChange",
    "DenseFiles",
    "DeployMessage",
    "EmbedderComponent",
    "EmbedderFiles",
    "JavaDocument",
    "JavaEmbedding",
    "JavaHit",
    "JavaVector",
    "NodeHit",
    "VespaJava",
    "fetch_jars",
]
