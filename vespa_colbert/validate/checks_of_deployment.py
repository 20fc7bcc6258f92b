"""Checks of what profiles and services.xml say about how a package is run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vespa_colbert.app.colbert_embedder import ATTEND_TO_EXPANSION_SINCE
from vespa_colbert.rank.features.name import read_feature_name
from vespa_colbert.validate.findings import Fault
from vespa_colbert.validate.package import COLBERT, Package
from vespa_colbert.validate.tokenizer_of import TokenizerView

__all__ = [
    "element_needs_newer",
    "not_read",
    "one_separator",
    "rerank_count_per_node",
]

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
ATTEND = "attend-to-expansion-tokens"
PAIR_FEATURES = {"customTokenInputIds": 3, "tokenInputIds": 1}
"""Feature → arguments before the texts."""


def not_read(package: Package) -> Iterator[Fault]:
    """Yield what could not be read, and what services.xml brings in from other files."""
    _ = package.application, package.services, package.models, package.tokenizers
    yield from package.unreadable
    if package.services is not None:
        for place in package.services.includes:
            yield Fault(place=place, reason="the files that services.xml includes are not read")


def rerank_count_per_node(package: Package) -> Iterator[Fault]:
    """Yield rerank counts that several nodes keep, each for itself."""
    contents = package.services.contents if package.services else ()
    for schema in package.application.schemas:
        nodes = max((each.nodes for each in contents if schema.name in each.modes), default=1)
        for profile in schema.rank_profiles if nodes > 1 else ():
            phase = profile.second_phase
            if phase is None or phase.rerank_count is None or phase.total_rerank_count is not None:
                continue
            names = ("second-phase rerank-count", schema.name, profile.name)
            yield Fault(
                place=package.places.of(*names),
                reason=f"rerank-count {phase.rerank_count} of profile {profile.name} is for each "
                f"of {nodes} nodes: {phase.rerank_count * nodes} hits are ranked again",
                remedy="state total-rerank-count to have the same number on any number of nodes",
            )


def element_needs_newer(package: Package) -> Iterator[Fault]:
    """Yield elements that releases refuse which the package admits."""
    stated = package.services.minimum_vespa_version if package.services else ""
    for embedder in package.embedders:
        if embedder.kind != COLBERT or ATTEND not in embedder.settings:
            continue
        if _numbers(stated) < _numbers(ATTEND_TO_EXPANSION_SINCE):
            said = f"minimum-required-vespa-version is {stated}" if stated else "none is required"
            yield Fault(
                place=embedder.place_of(ATTEND),
                reason=f"embedder {embedder.name}: releases before {ATTEND_TO_EXPANSION_SINCE} "
                f"refuse {ATTEND}, and {said}",
                remedy=f'set minimum-required-vespa-version="{ATTEND_TO_EXPANSION_SINCE}"',
            )


def _numbers(version: str) -> tuple[int, ...]:
    found = VERSION.fullmatch(version)
    return tuple(map(int, found.groups())) if found else ()


def one_separator(package: Package) -> Iterator[Fault]:
    """Yield pairs of texts put together otherwise than the tokenizer of the package does it.

    Source: TokenTransformer, Vespa 8.700.24: start a separator b separator.
    """
    views = _pair_tokenizers(package)
    if len(views) != 1:
        return
    (view,) = views
    for profile in package.profiles:
        for use in profile.uses:
            feature = read_feature_name(use.call.feature_name)
            first = PAIR_FEATURES.get(feature.name)
            if first is None or len(feature.arguments) != first + 2:
                continue
            start, separator = (101, 102) if first == 1 else feature.arguments[:2]
            if reason := _pair_fault(view, str(start), str(separator)):
                yield Fault(
                    place=use.written.place(use.call.position),
                    about=use.call.feature_name,
                    reason=f"{feature.name}({start}, {separator}, …): {reason}",
                    remedy=(
                        "use customTokenInputIds with the tokenizer's own ids; a tensor of no "
                        "tokens between the two texts makes a second separator"
                    ),
                )


def _pair_tokenizers(package: Package) -> list[TokenizerView]:
    """Return tokenizers that make tokens for models of rank profiles."""
    components = package.services.components if package.services else ()
    paths = dict.fromkeys(
        each.settings["model"].path
        for each in components
        if each.kind == "hugging-face-tokenizer" and "model" in each.settings
    )
    if not all(path in package.tokenizers for path in paths):
        return []
    return [package.tokenizers[path] for path in paths]


def _pair_fault(view: TokenizerView, start: str, separator: str) -> str:
    for text, own, what in (
        (start, view.start_id, "starts a text with"),
        (separator, view.end_id, "ends a text with"),
    ):
        if own is not None and text.isdecimal() and int(text) != own:
            return f"the tokenizer {what} {view.tokens.get(own, '?')}, {own}"
    if view.separators is not None and view.separators > 1:
        return f"the tokenizer puts {view.separators} separators between two texts, here stands one"
    return ""
