"""In the worker: the global phase as Vespa's container runs it over the hits of a result.

What does it is not public in Java; it is reached by reflection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import Tensor
from vespa_colbert.tensor.binary import encode_tensor
from vespa_colbert.vespa_java.application import RANK_PROFILES, Applications, BuiltApplication
from vespa_colbert.vespa_java.evaluator import to_java
from vespa_colbert.vespa_java.jvm import byte_array, java_class, java_list, proxy

__all__ = ["GlobalPhases", "JavaHit", "NodeHit"]

RANKING = "com.yahoo.search.ranking"
OWN_SCORE = "relevanceScore"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHit:
    """A hit as a content node sends it.

    Attributes:
        id: Its id.
        relevance: Score of the content node's last phase.
        match_features: Feature name → number or tensor, those too that only the global phase
            needs; on the way to Java tensors are bytes in Vespa's binary format.
    """

    id: str
    relevance: float
    match_features: Mapping[str, float | Tensor | bytes]

    def encoded(self) -> NodeHit:
        """Return the hit with its tensors in Vespa's binary format."""
        features = {
            name: encode_tensor(value) if isinstance(value, Tensor) else value
            for name, value in self.match_features.items()
        }
        return replace(self, match_features=features)


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaHit:
    """A hit after the global phase."""

    id: str
    relevance: float


class GlobalPhases:
    """Runs the global phase of derived rank profiles.

    Args:
        applications: Builds the packages.
    """

    def __init__(self, applications: Applications) -> None:
        self.applications = applications
        self.last: tuple[tuple[str, str], Any] | None = None

    def features(self, folder: Path, names: tuple[str, str]) -> list[str]:
        """Return the match features that hits must have for a profile's global phase.

        Args:
            folder: The application package.
            names: Schema and rank profile.
        """
        return sorted(_needed(self._setup(folder, *names)))

    def rerank(
        self,
        folder: Path,
        names: tuple[str, str],
        query: Mapping[str, bytes],
        hits: Sequence[NodeHit],
    ) -> list[JavaHit]:
        """Return hits in the order and with the relevance that the global phase gives them.

        Args:
            folder: The application package.
            names: Schema and rank profile.
            query: Name of a feature, as ``query(w)`` → its tensor.
            hits: From the content nodes; all with the same match features.

        Source: GlobalPhaseRanker.rerankHitsImpl, Vespa 8.700.24.
        """
        setup = self._setup(folder, *names)
        features = sorted(hits[0].match_features) if hits else []
        _require_inputs(setup, features)
        asked = java_class("com.yahoo.search.Query")()
        for name, data in query.items():
            asked.getRanking().getFeatures().put(name, to_java(data))
        result = java_class("com.yahoo.search.Result")(asked)
        result.hits().addAll(java_list(_java_hits(features, hits)))
        ranker = java_class(f"{RANKING}.GlobalPhaseRanker")
        _method(ranker, "rerankHitsImpl").invoke(None, [setup, asked, result])
        return [
            JavaHit(id=str(hit.getId()), relevance=float(hit.getRelevance().getScore()))
            for hit in result.hits().asList()
        ]

    def _setup(self, folder: Path, schema: str, profile: str) -> Any:
        """Return the setup of a profile's global phase.

        Raises:
            VespaJavaError: If the profile has none.
        """
        application, checksum = self.applications.require(folder)
        key = checksum, schema
        if self.last is None or self.last[0] != key:
            self.last = key, _evaluator(application, schema)
        evaluator = self.last[1]
        found = _method(evaluator.getClass(), "getGlobalPhaseSetup").invoke(evaluator, [profile])
        if found.isEmpty():
            raise VespaJavaError(f"{folder}: rank profile {profile} has no global-phase")
        return found.get()


def _evaluator(application: BuiltApplication, schema: str) -> Any:
    """Return what the container evaluates the rank profiles of a schema with."""
    config_id = application.schema_config_id(schema)
    core = "com.yahoo.vespa.config.search.core"
    onnx = java_class("ai.vespa.modelintegration.evaluator.EmbeddedOnnxRuntime")
    acquirer = "com.yahoo.filedistribution.fileacquirer.FileAcquirer"
    return java_class(f"{RANKING}.RankProfilesEvaluator")(
        application.config(RANK_PROFILES, config_id),
        application.config(f"{core}.RankingConstantsConfig", config_id),
        application.config(f"{core}.RankingExpressionsConfig", config_id),
        application.config(f"{core}.OnnxModelsConfig", config_id),
        proxy(acquirer, application.files),
        onnx.createTestInstance(),
    )


def _require_inputs(setup: Any, given: Sequence[str]) -> None:
    """Check that hits carry all match features: for one that is missing Vespa takes the score 0.

    Raises:
        VespaJavaError: If one is missing.
    """
    if missing := _needed(setup) - set(given):
        raise VespaJavaError(f"hits lack the match features {', '.join(sorted(missing))}")


def _needed(setup: Any) -> set[str]:
    """Return the match features that a global phase reads."""
    main, normalizers = _field(setup, "globalPhaseEvalSpec"), _field(setup, "normalizers")
    specs = [main, *(_call(each, "inputEvalSpec") for each in normalizers)]
    found = {str(_call(each, "matchFeatureName")) for spec in specs for each in _inputs(spec)}
    return found - {OWN_SCORE}


def _inputs(spec: Any) -> Any:
    return _call(spec, "fromMF")


def _java_hits(features: Sequence[str], hits: Sequence[NodeHit]) -> list[Any]:
    data = java_class("com.yahoo.data.access.helpers.MatchFeatureData")(java_list(features))
    made = []
    for each in hits:
        values = data.addHit()
        for place, name in enumerate(features):
            value = each.match_features[name]
            if isinstance(value, bytes):
                values.set(place, byte_array(value))
            elif not isinstance(value, Tensor):
                values.set(place, float(value))
        hit = java_class("com.yahoo.search.result.Hit")(each.id, each.relevance)
        hit.setField("matchfeatures", java_class("com.yahoo.search.result.FeatureData")(values))
        made.append(hit)
    return made


def _method(owner: Any, name: str) -> Any:
    """Return a method of a class, public or not.

    Raises:
        VespaJavaError: If there is none.
    """
    for method in getattr(owner, "class_", owner).getDeclaredMethods():
        if str(method.getName()) == name:
            method.setAccessible(True)
            return method
    raise VespaJavaError(f"{owner}: no method {name}; Vespa's code is another than expected")


def _call(target: Any, name: str) -> Any:
    return _method(target.getClass(), name).invoke(target, [])


def _field(target: Any, name: str) -> Any:
    field = target.getClass().getDeclaredField(name)
    field.setAccessible(True)
    return field.get(target)
