"""In the worker: rank profiles as Vespa read them, before it compiles their expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vespa_colbert.vespa_java.report import Properties

__all__ = ["written_profiles"]

PHASES = {
    "firstphase": "getFirstPhaseRanking",
    "secondphase": "getSecondPhaseRanking",
    "globalphase": "getGlobalPhaseRanking",
}


def written_profiles(state: Any) -> dict[str, dict[str, Properties]]:
    """Return schema → rank profile → what it states and inherits.

    Args:
        state: The com.yahoo.config.model.deploy.DeployState of a package.

    Source: RankProfileRegistry and RankProfile, Vespa 8.700.24.
    """
    registry = state.rankProfileRegistry()
    return {
        str(schema.getName()): {
            str(profile.name()): tuple(_stated(profile))
            for profile in registry.rankProfilesOf(schema)
        }
        for schema in state.getSchemas()
    }


def _stated(profile: Any) -> Iterator[tuple[str, str]]:
    """Yield functions with their parameters, phases, inputs, constants and models."""
    for entry in profile.getFunctions().entrySet():
        function = entry.getValue().function()
        parameters = ",".join(str(each) for each in function.arguments())
        kind = "inline function" if entry.getValue().inline() else "function"
        yield f"{kind} {entry.getKey()}({parameters})", _expression(function.getBody())
    for phase, getter in PHASES.items():
        if (expression := getattr(profile, getter)()) is not None:
            yield phase, _expression(expression)
    for entry in profile.inputs().entrySet():
        yield f"input {entry.getKey()}", str(entry.getValue().type())
        if entry.getValue().defaultValue().isPresent():
            yield f"default of {entry.getKey()}", str(entry.getValue().defaultValue().get())
    for entry in profile.constants().entrySet():
        yield str(entry.getKey()), str(entry.getValue().type())
    for entry in profile.onnxModels().entrySet():
        yield f"onnx-model {entry.getKey()}", str(entry.getValue().getFilePath())


def _expression(expression: Any) -> str:
    return str(expression.getRoot().toString())
