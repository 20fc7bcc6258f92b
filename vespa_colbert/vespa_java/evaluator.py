"""In the worker: rank profiles and expressions, evaluated by Vespa's model evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import RANK_PROFILES, Applications, BuiltApplication
from vespa_colbert.vespa_java.jvm import byte_array, java_class, java_list, proxy
from vespa_colbert.vespa_java.recently_used import RecentlyUsed

__all__ = ["Evaluators", "evaluate_expression", "from_java", "to_java"]

PHASES = {
    "first-phase": "firstphase",
    "second-phase": "secondphase",
    "global-phase": "globalphase",
}
"""A phase as a schema calls it → the function that Vespa derives for it."""

MATCH_FEATURE = "vespa.match.feature"
KEPT = 8
"""Rank profiles kept ready."""

MOST_THREADS = 4
"""A full-size MaxSim holds 100 MB of Java's heap while it is evaluated."""


def to_java(data: bytes) -> Any:
    """Return the com.yahoo.tensor.Tensor that bytes in Vespa's binary format hold."""
    buffer = java_class("com.yahoo.io.GrowableByteBuffer").wrap(byte_array(data))
    optional = java_class("java.util.Optional").empty()
    return java_class("com.yahoo.tensor.serialization.TypedBinaryFormat").decode(optional, buffer)


def from_java(tensor: Any) -> bytes:
    """Return a com.yahoo.tensor.Tensor in Vespa's binary format."""
    return bytes(java_class("com.yahoo.tensor.serialization.TypedBinaryFormat").encode(tensor))


def type_of(spec: str) -> Any:
    """Return the com.yahoo.tensor.TensorType that a text spells."""
    return java_class("com.yahoo.tensor.TensorType").fromSpec(spec)


def evaluate_expression(expression: str, bindings: Mapping[str, bytes]) -> bytes:
    """Return the value of a rank expression, every feature of it bound by name.

    Raises:
        VespaJavaError: If it uses a feature that is not bound, which Vespa would take for 0.

    Source: RankingExpression.evaluate and MapContext, Vespa 8.700.24.
    """
    evaluation = "com.yahoo.searchlib.rankingexpression.evaluation"
    parsed = java_class("com.yahoo.searchlib.rankingexpression.RankingExpression")(expression)
    context = java_class(f"{evaluation}.MapContext")()
    types = {}
    for name, data in bindings.items():
        tensor = to_java(data)
        spelled = _reference(name)
        context.put(spelled, java_class(f"{evaluation}.TensorValue")(tensor))
        types[spelled] = tensor.type()
    static_type = parsed.type(proxy("com.yahoo.tensor.evaluation.TypeContext", BoundTypes(types)))
    result = parsed.evaluate(context).asTensor()
    if not result.type().isAssignableTo(static_type):
        raise VespaJavaError(
            f"{expression}: Vespa's types say {static_type}, its value has {result.type()}"
        )
    return from_java(result)


class BoundTypes:
    """A TypeContext of bound features: what is not bound has no type, which Vespa refuses.

    Args:
        types: Feature → its com.yahoo.tensor.TensorType.
    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self.types = types

    def getType(self, reference: Any) -> Any:  # noqa: N802 - Java's name
        """Return the type of a feature, or null."""
        return self.types.get(str(reference))

    def resolveBinding(self, name: Any) -> Any:  # noqa: N802 - Java's name
        """Return the name: nothing is bound to another name here."""
        return name


def _reference(name: str) -> str:
    """Return a rank feature as Vespa writes it.

    Raises:
        VespaJavaError: If the text is something else.
    """
    parsed = java_class("com.yahoo.searchlib.rankingexpression.RankingExpression")(name)
    node = parsed.getRoot()
    if not isinstance(node, java_class("com.yahoo.searchlib.rankingexpression.rule.ReferenceNode")):
        raise VespaJavaError(f"expected a rank feature such as query(qt) or bm25(text), got {name}")
    return str(node.reference())


class Evaluators:
    """Evaluates the functions of derived rank profiles.

    Args:
        applications: Builds the packages.
    """

    def __init__(self, applications: Applications) -> None:
        self.applications = applications
        self.kept: RecentlyUsed[tuple[str, str, str], _Profile] = RecentlyUsed(KEPT)

    def arguments(self, folder: Path, schema: str, profile: str, function: str) -> dict[str, str]:
        """Return the features that a function needs → their types, those with a default too."""
        return self._profile(folder, schema, profile).arguments(PHASES.get(function, function))

    def evaluate(
        self,
        folder: Path,
        names: tuple[str, str, str],
        cases: Sequence[Mapping[str, bytes]],
    ) -> list[bytes]:
        """Return the value of a function for each case.

        Args:
            folder: The application package.
            names: Schema, rank profile, function.
            cases: Feature name → value.
        """
        schema, profile, function = names
        ready = self._profile(folder, schema, profile)
        name = PHASES.get(function, function)
        # Vespa evaluates a profile from many threads, too; Java runs outside of Python's lock.
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
            return list(threads.map(lambda bindings: ready.evaluate(name, bindings), cases))

    def _profile(self, folder: Path, schema: str, profile: str) -> _Profile:
        application, checksum = self.applications.require(folder)
        key = (checksum, schema, profile)
        return self.kept.get(key, lambda: _Profile(application, schema, profile))


class _Profile:
    """One derived rank profile, ready to evaluate."""

    def __init__(self, application: BuiltApplication, schema: str, profile: str) -> None:
        self.title = f"{application.report.folder}: rank profile {profile} of schema {schema}"
        config_id = application.schema_config_id(schema)
        derived = application.report.profiles[schema]
        if profile not in derived:
            raise VespaJavaError(
                f"{application.report.folder}: schema {schema}: expected a rank profile among "
                f"{sorted(derived)}, got {profile!r}"
            )
        self.defaults = dict(derived[profile])
        core = "com.yahoo.vespa.config.search.core"
        onnx = java_class("ai.vespa.modelintegration.evaluator.EmbeddedOnnxRuntime")
        acquirer = "com.yahoo.filedistribution.fileacquirer.FileAcquirer"
        evaluator = java_class("ai.vespa.models.evaluation.ModelsEvaluator")(
            _only(application.config(RANK_PROFILES, config_id), profile),
            application.config(f"{core}.RankingConstantsConfig", config_id),
            application.config(f"{core}.RankingExpressionsConfig", config_id),
            application.config(f"{core}.OnnxModelsConfig", config_id),
            proxy(acquirer, application.files),
            onnx.createTestInstance(),
        )
        self.model = evaluator.requireModel(profile)

    def arguments(self, function: str) -> dict[str, str]:
        """Return feature name → type of all that a function needs."""
        found = self._function(function).argumentTypes()
        return {str(name): str(found.get(name)) for name in found.keySet()}

    def evaluate(self, function: str, bindings: Mapping[str, bytes]) -> bytes:
        """Return the value of a function.

        Raises:
            VespaJavaError: If a feature is missing, not used, or of another type than declared:
                Vespa's evaluator would read a missing number as NaN.
        """
        wanted = self.arguments(function)
        if unknown := bindings.keys() - wanted.keys():
            raise VespaJavaError(
                f"{self.title}: {function} does not use {', '.join(sorted(unknown))}; "
                f"it needs {_listed(wanted)}"
            )
        evaluator = self.model.evaluatorOf(function)
        for name, spec in wanted.items():
            tensor = self._value(name, spec, bindings)
            if not tensor.type().equals(type_of(spec)):
                raise VespaJavaError(f"{self.title}: {name}: expected {spec}, got {tensor.type()}")
            evaluator.bind(name, tensor)
        self._require_constants(evaluator.context())
        return from_java(evaluator.evaluate())

    def _value(self, name: str, spec: str, bindings: Mapping[str, bytes]) -> Any:
        """Return the value bound to a feature, else the default that the profile declares.

        Raises:
            VespaJavaError: If there is neither.
        """
        if name in bindings:
            return to_java(bindings[name])
        if name in self.defaults:
            return java_class("com.yahoo.tensor.Tensor").from_(type_of(spec), self.defaults[name])
        raise VespaJavaError(f"{self.title}: no value is bound to {name}, which is {spec}")

    def _require_constants(self, context: Any) -> None:
        """Raise for a constant without a value, which Vespa's evaluator would read as NaN.

        Raises:
            VespaJavaError: If there is one; it names the constant.
        """
        missing = java_class("java.util.IdentityHashMap")()
        missing.put(context.defaultValue(), None)
        for name in context.names():
            if str(name).startswith("constant(") and missing.containsKey(context.get(name)):
                raise VespaJavaError(f"{self.title}: {name} has no value")

    def _function(self, name: str) -> Any:
        """Return a function by its exact name.

        Raises:
            VespaJavaError: If the profile has none of that name.
        """
        names = []
        for function in self.model.functions():
            if str(function.getName()) == name:
                return function
            names.append(str(function.getName()))
        raise VespaJavaError(f"{self.title}: expected a function among {sorted(names)}, got {name}")


def _only(config: Any, profile: str) -> Any:
    """Return the configuration of one rank profile, without its match features.

    Vespa's evaluator takes a function that is also a match feature for a value that the content
    node sends, and would read it as NaN here.

    Source: RankProfilesConfigImporter.importProfile, Vespa 8.700.24.
    """
    profiles = java_class(RANK_PROFILES)
    fef = profiles.Rankprofile.Fef.Builder()
    for each in config.rankprofile():
        if str(each.name()) == profile:
            for pair in each.fef().property():
                if str(pair.name()) != MATCH_FEATURE:
                    fef.property(profiles.Rankprofile.Fef.Property.Builder(pair))
    rank_profile = profiles.Rankprofile.Builder().name(profile).fef(fef)
    return profiles.Builder().rankprofile(java_list([rank_profile])).build()


def _listed(wanted: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {spec}" for name, spec in sorted(wanted.items())) or "nothing"
