"""In the worker: a request for hits as Vespa's container reads it, its inputs embedded."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import Applications, BuiltApplication
from vespa_colbert.vespa_java.embedder import Embedders
from vespa_colbert.vespa_java.evaluator import from_java
from vespa_colbert.vespa_java.jvm import java_class

__all__ = ["Queries", "WireQuery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireQuery:
    """What Vespa made of a request.

    Attributes:
        yql: The statement, as Vespa prints what it parsed.
        profile: Name of the rank profile.
        inputs: Input that is a tensor → its value in Vespa's binary format.
    """

    yql: str
    profile: str
    inputs: Mapping[str, bytes]


class Queries:
    """Reads requests as the container of a package would.

    Args:
        applications: Builds the packages.
        embedders: Has the embedders that inputs name.
    """

    def __init__(self, applications: Applications, embedders: Embedders) -> None:
        self.applications, self.embedders = applications, embedders

    def read(
        self,
        folder: Path,
        parameters: Mapping[str, str],
        models: Mapping[str, Path],
    ) -> WireQuery:
        """Return what the container makes of the parameters of a request.

        Args:
            folder: The application package.
            parameters: As they stand in the request: ``text``, ``queryProfile``, ``yql``, ….
            models: Web address → local copy, for embedders whose files are on the web.

        Raises:
            VespaJavaError: If the request names a query profile that is not there.

        Source: SearchHandler.handleBody and MinimalQueryInserter, Vespa 8.700.24.
        """
        application, _ = self.applications.require(folder)
        query = self._query(application, parameters, models)
        if fault := query.validate():
            raise VespaJavaError(str(fault))
        parsed = _parse(query)
        features = query.getRanking().getFeatures().asMap()
        tensor = java_class("com.yahoo.tensor.Tensor")
        inputs = {
            str(entry.getKey()): from_java(entry.getValue())
            for entry in features.entrySet()
            if isinstance(entry.getValue(), tensor)
        }
        return WireQuery(yql=parsed, profile=str(query.getRanking().getProfile()), inputs=inputs)

    def _query(
        self,
        application: BuiltApplication,
        parameters: Mapping[str, str],
        models: Mapping[str, Path],
    ) -> Any:
        """Return the com.yahoo.search.Query of a request.

        Raises:
            VespaJavaError: If it names a query profile that is not there.
        """
        request = java_class("com.yahoo.container.jdisc.HttpRequest").createTestRequest(
            f"/search/?{urllib.parse.urlencode(parameters)}",
            java_class("com.yahoo.jdisc.http.HttpRequest$Method").GET,
        )
        embedders = self.embedders.java_embedders(application, models)
        builder = (
            java_class("com.yahoo.search.Query")
            .Builder()
            .setRequest(request)
            .setEmbedders(embedders)
            .setSchemaInfo(_schema_info(application))
        )
        name = parameters.get("queryProfile", "default")
        profile = _profiles(application).findQueryProfile(name)
        if profile is None and "queryProfile" in parameters:
            raise VespaJavaError(f"{application.report.folder}: no query profile {name!r}")
        return builder.setQueryProfile(profile).build()


def _container(application: BuiltApplication) -> str:
    """Return the configuration id of the container cluster that takes queries.

    Raises:
        VespaJavaError: If there is none.
    """
    for cluster in application.model.getContainerClusters().values():
        if cluster.getSearch() is not None:
            return str(cluster.getConfigId())
    raise VespaJavaError(f"{application.report.folder}: no container has <search/>")


def _profiles(application: BuiltApplication) -> Any:
    """Return the package's query profiles, compiled."""
    config = application.config(
        "com.yahoo.search.query.profile.config.QueryProfilesConfig", _container(application)
    )
    configurer = java_class("com.yahoo.search.query.profile.config.QueryProfileConfigurer")
    return configurer.createFromConfig(config).compile()


def _schema_info(application: BuiltApplication) -> Any:
    """Return what the container knows of schemas: fields, rank profiles and their inputs."""
    container = _container(application)
    schemas = application.config("com.yahoo.search.config.SchemaInfoConfig", container)
    clusters = application.config("com.yahoo.container.QrSearchersConfig", container)
    return java_class("com.yahoo.search.schema.SchemaInfo")(schemas, clusters)


def _parse(query: Any) -> str:
    """Return the parsed statement as Vespa prints it.

    Raises:
        VespaJavaError: If Vespa's parser refuses it.
    """
    inserter = java_class("com.yahoo.search.yql.MinimalQueryInserter")()
    execution = java_class("com.yahoo.search.searchchain.Execution")
    context = execution.Context.createContextStub()
    context.setLinguistics(java_class("com.yahoo.language.simple.SimpleLinguistics")())
    result = execution(inserter, context).search(query)
    if error := result.hits().getError():
        raise VespaJavaError(str(error.getDetailedMessage() or error.getMessage()))
    return str(query.yqlRepresentation())
