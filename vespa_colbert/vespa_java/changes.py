"""In the worker: what deploying one package over another takes, as Vespa's config model decides."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vespa_colbert.vespa_java.application import Applications
from vespa_colbert.vespa_java.deployment import (
    DeployLog,
    FileRegistry,
    build_model,
    deploy_builder,
    logged,
    own_path,
    validate_model,
)
from vespa_colbert.vespa_java.jars import VESPA_VERSION
from vespa_colbert.vespa_java.jvm import java_class, java_list, message_chain
from vespa_colbert.vespa_java.report import (
    ApplicationReport,
    BlockedChange,
    ChangeReport,
    ConfigChange,
)

__all__ = ["Changes"]

OVERRIDES = "com.yahoo.config.application.api.ValidationOverrides"
IDS = "com.yahoo.config.application.api.ValidationId"


class Changes:
    """Compares packages.

    Args:
        applications: Builds them.
    """

    def __init__(self, applications: Applications) -> None:
        self.applications = applications
        self.numbers = itertools.count()

    def compare(self, old: Path, new: Path) -> ChangeReport:
        """Return what Vespa says of deploying ``new`` where ``old`` runs.

        Raises:
            VespaJavaError: If Vespa refuses the old package, or Java itself fails.
        """
        previous, _ = self.applications.require(old)
        work = self.applications.scratch / f"change-{next(self.numbers)}"
        report, log = ChangeReport(old=old, new=new, vespa_version=VESPA_VERSION), DeployLog()
        try:
            report = _compared(report, previous.model, work, log)
        except java_class("java.lang.Exception") as error:
            errors = tuple(own_path(text, work, new) for text in message_chain(error))
            report = replace(report, errors=errors)
        said = logged(ApplicationReport(folder=new, vespa_version=VESPA_VERSION), log, work)
        return replace(report, messages=said.messages, not_checked=said.not_checked)


def _compared(report: ChangeReport, previous: Any, work: Path, log: DeployLog) -> ChangeReport:
    """Return the changes, and which of them Vespa refuses; all else comes as Java exceptions.

    A refused change ends the validation, so it is made again with everything allowed.

    Source: Validation.validate and ValidationOverrides, Vespa 8.700.24.
    """
    refused = java_class(f"{OVERRIDES}$ValidationException")
    first = _builder(report.new, previous, work, log)
    try:
        return replace(report, changes=_validated(first))
    except refused as error:
        blocked = tuple(_blocked(error.messagesById()))
    again = _builder(report.new, previous, work / "allowed", DeployLog())
    changes = _validated(again.validationOverrides(_everything_allowed()))
    return replace(report, changes=changes, blocked=blocked)


def _builder(folder: Path, previous: Any, work: Path, log: DeployLog) -> Any:
    """Return the builder of a package's DeployState; one makes one state."""
    files = FileRegistry(work / "application", work / "blobs")
    return deploy_builder(folder, files, log, is_first=False).previousModel(previous)


def _validated(builder: Any) -> tuple[ConfigChange, ...]:
    """Return what must be done about the changes of a validated package."""
    state = builder.build()
    return tuple(_change(each) for each in validate_model(build_model(state), state))


def _everything_allowed() -> Any:
    """Return overrides for each validation that Vespa has."""
    until = java_class("java.time.Instant").now().plusSeconds(86_400)
    allow = java_class(f"{OVERRIDES}$Allow")
    return java_class(OVERRIDES)(java_list(allow(each, until) for each in java_class(IDS).values()))


def _blocked(messages: Any) -> Iterator[BlockedChange]:
    """Yield what is refused, in the order of the ids."""
    found = {str(each.getKey().value()): each for each in messages.entrySet()}
    for name in sorted(found):
        yield BlockedChange(
            override=name,
            meaning=str(found[name].getKey().description()),
            messages=tuple(sorted(str(text) for text in found[name].getValue())),
        )


def _change(action: Any) -> ConfigChange:
    override, kind = action.validationId(), str(action.getType())
    services = {str(each.getServiceName()) for each in action.getServices()}
    return ConfigChange(
        kind=kind,
        message=str(action.getMessage()),
        override=str(override.get().value()) if override.isPresent() else "",
        document_type="" if kind == "restart" else str(action.getDocumentType()),
        services=tuple(sorted(services)),
    )
