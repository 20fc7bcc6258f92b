from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.validate.packages import COMPONENT, SCHEMA, SERVICES, write_package
from vespa_colbert.embedder.pooling import UNPOOLED, TokenPooling
from vespa_colbert.validate import Finding, validate_application

Check = Callable[..., list[Finding]]


@pytest.fixture(name="findings")
def findings_fixture(tmp_path: Path) -> Check:
    """Return what is found in the good package after some texts in it were replaced."""

    def findings(
        *,
        schema: tuple[tuple[str, str], ...] = (),
        services: tuple[tuple[str, str], ...] = (),
        component: tuple[tuple[str, str], ...] = (),
        change: Callable[[Path], None] = lambda _folder: None,
        pooling: TokenPooling = UNPOOLED,
    ) -> list[Finding]:
        folder = write_package(
            tmp_path / "app",
            schema=_replaced(SCHEMA, schema),
            services=_replaced(SERVICES, services),
            components=_replaced(COMPONENT, component),
        )
        change(folder)
        return [
            each
            for each in validate_application(folder, pooling=pooling).findings
            if each.code != "vespa-not-checked"
        ]

    return findings


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return text
