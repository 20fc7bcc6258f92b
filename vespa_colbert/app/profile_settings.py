"""Settings of a rank profile that a word and a value say, with the kind of the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vespa_colbert.app.source import Source

__all__ = ["BLOCKS", "read_settings", "setting_fault_of", "value_of"]

COUNT, INTEGER = "a whole number, not negative", "a whole number"
DECIMAL, TRUTH = "a number with a decimal point", "true or false"

KINDS = {
    COUNT: re.compile(r"[0-9]{1,10}"),
    INTEGER: re.compile(r"-?[0-9]{1,10}"),
    DECIMAL: re.compile(r"-?[0-9]{1,300}\.[0-9]+"),
    TRUTH: re.compile(r"on|off|true|false"),
    "ascending or descending": re.compile(r"ascending|descending"),
    "strict or loose": re.compile(r"strict|loose"),
    "a name": re.compile(r"[\w.$]+", re.ASCII),
    "a whole number or infinity": re.compile(r"-?[0-9]+|infinity"),
    "parallel or sequential": re.compile(r"parallel|sequential"),
}
"""What is expected → how it is written. Source: SchemaParser.jj, DOUBLE and INTEGER: a number
without a point is no DOUBLE, one with a point no INTEGER."""

BLOCKS = {
    "rank-profile": {
        "num-threads-per-search": INTEGER,
        "min-hits-per-thread": INTEGER,
        "num-search-partitions": INTEGER,
        "termwise-limit": DECIMAL,
        "post-filter-threshold": DECIMAL,
        "approximate-threshold": DECIMAL,
        "filter-first-threshold": DECIMAL,
        "filter-first-exploration": DECIMAL,
        "exploration-slack": DECIMAL,
        "prefetch-tensors": TRUTH,
        "target-hits-max-adjustment-factor": DECIMAL,
        "strict": TRUTH,
        "filter-threshold": DECIMAL,
    },
    "significance": {"use-model": TRUTH},
    "weakand": {"stopword-limit": DECIMAL, "allow-drop-all": TRUTH, "adjust-target": DECIMAL},
    "first-phase": {
        "keep-rank-count": INTEGER,
        "total-keep-rank-count": INTEGER,
        "rank-score-drop-limit": DECIMAL,
    },
    "second-phase": {
        "rerank-count": COUNT,
        "total-rerank-count": COUNT,
        "rank-score-drop-limit": DECIMAL,
    },
    "global-phase": {"rerank-count": COUNT, "rank-score-drop-limit": DECIMAL},
    "match-phase": {
        "attribute": "a name",
        "order": "ascending or descending",
        "max-hits": INTEGER,
        "total-max-hits": INTEGER,
        "max-filter-coverage": DECIMAL,
        "evaluation-point": DECIMAL,
        "pre-post-filter-tipping-point": DECIMAL,
    },
    "diversity": {
        "attribute": "a name",
        "min-groups": INTEGER,
        "cutoff-factor": DECIMAL,
        "cutoff-strategy": "strict or loose",
    },
    "rank": {"filter-threshold": DECIMAL, "element-gap": "a whole number or infinity"},
    "onnx-model": {
        "gpu-device": INTEGER,
        "intraop-threads": INTEGER,
        "interop-threads": INTEGER,
        "execution-mode": "parallel or sequential",
        "optimize-model": TRUTH,
    },
}
"""Block of a rank profile → setting in it → what is expected behind its colon.

Source: SchemaParser.jj, Vespa 8.700.24; optimize-model is of a later version.
"""


def read_settings(source: Source, trees: list[Any], block: str) -> Iterator[tuple[str, str]]:
    """Yield word and value of each setting of a block.

    Raises:
        SchemaSyntaxError: If one is not known, or has a value that Vespa would not take.
    """
    for tree in trees:
        word, value = (*tree.children, None)[:2]
        yield str(word), value_of(source, word, value, block)


def value_of(source: Source, word: Any, value: Any, block: str) -> str:
    """Return the value of a setting of a block.

    Raises:
        SchemaSyntaxError: If the setting is not known, or Vespa would not take its value.
    """
    if str(word) not in BLOCKS[block]:
        known = ", ".join(sorted(BLOCKS[block]))
        raise source.error(word, f"{word} in {block} is not known; expected one of {known}")
    kind = BLOCKS[block][str(word)]
    if value is None or not KINDS[kind].fullmatch(str(value)):
        place = word if value is None else value
        raise source.error(place, f"{word}: expected {kind}, got {str(value or 'nothing')[:40]!r}")
    return str(value)


def setting_fault_of(name: str, value: str) -> str:
    """Return why Vespa would not take a setting of a rank profile, or an empty text.

    Args:
        name: Name of the setting, with that of its block before it if it stands in one.
        value: Its value.
    """
    block, _, word = name.rpartition(".")
    known = BLOCKS.get(block or "rank-profile", {})
    if name == "ignore-default-rank-features" and value == "true":
        return ""
    if word not in known:
        return f"{name[:80]!r} is no setting of a rank profile"
    kind = known[word]
    return "" if KINDS[kind].fullmatch(value) else f"{name}: expected {kind}, got {value[:40]!r}"
