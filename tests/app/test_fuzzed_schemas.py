"""Schemas with random damage: they are read, or refused with an error of ours."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vespa_colbert.app import read_schema
from vespa_colbert.errors import SchemaSyntaxError, SpecError

VARIANTS = sorted((Path(__file__).with_name("variants") / "schemas").glob("*.sd"))
TEXTS = [path.read_text(encoding="utf-8") for path in VARIANTS]
PIECES = [
    "{", "}", "(", ")", "[", "]", "<", ">", ":", ",", ".", "#", '"', "'", "\n", " ", "\\", "$", "-",
    "é", "\0", "\u2028", "0", "-1", "2.5", "9" * 40, "rank-profile p", "inherits p", "expression:",
    "expression {", "indexing {", "match-features {", "rank-properties {", "inputs {", "query(",
    "constants {", "type tensor<float>(", "x[", "field f type string {", "schema", "document",
    "array<", "file:", "input a:", "mutate {", "onnx-model m {", "function f(", "value:",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a schema with pieces put in, taken out, doubled or put elsewhere."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        other = draw(st.sampled_from(TEXTS))
        piece = draw(
            st.one_of(
                st.sampled_from(PIECES),
                st.just(text[start:end] * 2),
                st.text(max_size=4),
                st.just(other[start:end]),
            )
        )
        text = text[:start] + piece + text[end:]
    return text


def read(text: str, folder: Path, name: str) -> None:
    path = folder / f"{name}.sd"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(SchemaSyntaxError, SpecError):
        schema = read_schema(path)
        _ = schema.attribute_types
        for profile in schema.profile_names:
            schema.profile(profile)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_schema_is_read_or_refused(text: str) -> None:
    words = text.split("{", maxsplit=1)[0].split()
    name = words[-1] if words and words[-1].isidentifier() and len(words[-1]) < 100 else "doc"
    with tempfile.TemporaryDirectory() as folder:
        read(text, Path(folder), name)


@pytest.mark.parametrize(
    ("before", "part", "after"),
    [
        ("rank-profile p {\n", "rank-profile p inherits p {\n", "}"),
        ("field f type ", "array<", "int> {}"),
        ("rank-profile p { inputs { q tensor<float>(x[2]): ", "[", "1]"),
        ("rank-profile p { constants { q tensor<float>(x{}): ", "{a: ", "1}"),
        ("rank-profile p { first-phase { expression: ", "(", "1)"),
        ("field f type a { ", "struct-field a { ", "}"),
        ("field f type string { indexing { ", "{", "}"),
        ("rank-profile p { first-phase { expression { ", "{", "}"),
    ],
)
def test_deep_nesting_is_refused_and_never_a_crash(
    tmp_path: Path, before: str, part: str, after: str
) -> None:
    depth = 20_000
    read(f"schema doc {{ {before}{part * depth}{after * depth} }}", tmp_path, "doc")
    read(f"schema doc {{ {before}{part * depth}", tmp_path, "doc")
