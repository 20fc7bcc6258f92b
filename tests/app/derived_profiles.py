"""A rank profile as we read it and as Vespa has it, in the same words, to be compared.

Vespa has it twice: as it read it, with the expressions that were written, and as it derived it for
the content nodes, where expressions are compiled (constants put in, functions called by other
names). Expressions are compared with the former, everything else with the latter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from vespa_colbert.app import RankProfile, Schema
from vespa_colbert.tensor import TensorType

__all__ = [
    "Facts",
    "derived_by_vespa",
    "derived_read",
    "differences",
    "texts_of",
    "written_by_vespa",
    "written_read",
]

Facts = frozenset[tuple[str, str]]
Pairs = Sequence[tuple[str, str]]

SCRIPT = re.compile(r"rankingExpression\((?P<name>[^()]+)\)\.rankingScript")
TABLE = re.compile(r"native\w+\.\w+Table\..+")
"""Tables that a rank-type stands for; the word is compared, not what Vespa makes of it."""
MODEL_FILE = re.compile(r"""onnx\("([^"]+)"(?:,\s*"([^"]+)")?\)""")
"""A model that an expression names by its file."""
PHASES = ("firstphase", "secondphase", "globalphase")
FEATURES = ("match", "summary", "dump")
TYPE_OF_NUMBERS = {"double": "tensor()"}
"""A number, as Vespa prints its type."""

PROPERTIES = {
    "num-threads-per-search": "matching.numthreadspersearch",
    "min-hits-per-thread": "matching.minhitsperthread",
    "num-search-partitions": "matching.numsearchpartitions",
    "termwise-limit": "matching.termwise_limit",
    "post-filter-threshold": "matching.global_filter.upper_limit",
    "approximate-threshold": "matching.global_filter.lower_limit",
    "filter-first-threshold": "matching.nns.filter_first_upper_limit",
    "filter-first-exploration": "matching.nns.filter_first_exploration",
    "exploration-slack": "matching.nns.exploration_slack",
    "prefetch-tensors": "matching.nns.prefetch_tensors",
    "target-hits-max-adjustment-factor": "matching.nns.target_hits_max_adjustment_factor",
    "filter-threshold": "matching.filter_threshold",
    "weakand.stopword-limit": "matching.weakand.stop_word_drop_limit",
    "weakand.allow-drop-all": "matching.weakand.allow_drop_all",
    "weakand.adjust-target": "matching.weakand.stop_word_adjust_limit",
    "first-phase.keep-rank-count": "hitcollector.arraysize",
    "ignore-default-rank-features": "dump.ignoredefaultfeatures",
}
"""Setting of a profile → Vespa's property, after ``vespa.``.

Source: RawRankProfile.derive, Vespa 8.700.24.
"""

COMPARED = (
    "vespa.matching.",
    "vespa.matchphase.",
    "vespa.hitcollector.",
    "vespa.globalphase.",
    "vespa.dump.ignoredefaultfeatures",
    "vespa.mutate.",
    "vespa.isfilterfield.",
    "vespa.type.attribute.",
    "vespa.type.query.",
)
"""Starts of the properties that are compared as they are, beside expressions and features."""

APART = {
    "vespa.matching.sort_blueprints_by_cost",
    "vespa.hitcollector.heapsize",
    "vespa.globalphase.rerankcount",
}
"""Compared in other words, as counts of the phase, or said by no profile."""

DEFAULT_COUNT = "100"
"""Hits that a phase ranks which states no count. Source: HeapSize and GlobalPhaseSetup."""

TRUTH = {"on": "true", "off": "false"}


def texts_of(profile: RankProfile) -> Iterator[str]:
    """Yield all expressions and features of a profile, to be printed by Vespa."""
    yield from (text for _, text in _expressions(profile))
    yield from (each for _, features in _features(profile) for each in features)


def written_read(profile: RankProfile, printed: Mapping[str, str]) -> Facts:
    """Return functions, phases, inputs, constants and models as we read them.

    Args:
        profile: With everything that it inherits.
        printed: Expression or feature → the same as Vespa prints it.
    """
    inputs = {each.name: "string" if each.is_text else str(each.type) for each in profile.inputs}
    return frozenset({
        *((name, printed[text]) for name, text in _expressions(profile)),
        *(
            (f"input query({name})", TYPE_OF_NUMBERS.get(text, text))
            for name, text in inputs.items()
        ),
        *((f"default of query({each.name})", "") for each in profile.inputs if each.default),
        *(
            (f"constant({each.name})", TYPE_OF_NUMBERS.get(str(each.type), str(each.type)))
            for each in profile.constants
        ),
        *((f"onnx-model {each.name}", each.file or each.uri) for each in profile.onnx_models),
        *(
            (f"onnx-model {_identifier(file)}", file)
            for text in texts_of(profile)
            for file, _ in MODEL_FILE.findall(text)
        ),
    })


def written_by_vespa(written: Pairs) -> Facts:
    """Return functions, phases, inputs, constants and models as Vespa read them."""
    stated = {"firstphase": "nativeRank"} | dict(written)
    facts = set()
    for name, text in stated.items():
        if name.startswith("default of "):
            facts.add((name, ""))
        elif name.startswith(("input ", "constant(")):
            facts.add((name, _type(text)))
        else:
            facts.add((name, text))
    return frozenset(facts)


def _expressions(profile: RankProfile) -> Iterator[tuple[str, str]]:
    """Yield each function and each phase with the expression that the profile states."""
    for each in profile.functions:
        kind = "inline function" if each.is_inline and not each.arguments else "function"
        yield f"{kind} {each.name}({','.join(each.arguments)})", each.expression
    yield "firstphase", profile.first_phase
    if profile.second_phase is not None:
        yield "secondphase", profile.second_phase.expression
    if profile.global_phase is not None:
        yield "globalphase", profile.global_phase.expression


def _features(profile: RankProfile) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each list of features, with Vespa's word for it."""
    yield "match", profile.match_features
    yield "summary", profile.summary_features
    yield "dump", profile.rank_features


def derived_read(schema: Schema, profile: RankProfile, printed: Mapping[str, str]) -> Facts:
    """Return what we read.

    Args:
        schema: The schema that has the profile, or inherits the one that has it.
        profile: With everything that it inherits.
        printed: Expression or feature → the same as Vespa prints it.
    """
    functions = {each.name for each in profile.functions}
    fields = schema.all_fields
    filters = {each.field for each in profile.field_ranks if each.is_filter}
    filters &= {each.name for each in fields}
    filters |= {each.name for each in fields if each.is_filter}
    return frozenset({
        *((f"vespa.isfilterfield.{name}", "true") for name in filters),
        *((f"vespa.type.attribute.{n}", str(t)) for n, t in schema.attribute_types.items()),
        *(
            (f"vespa.type.query.{each.name}", str(each.type))
            for each in profile.inputs
            if each.type.dimensions
        ),
        *((f"function {name}", "") for name in functions),
        *((name, "") for name, _ in _expressions(profile) if name in PHASES),
        *(
            (f"vespa.{kind}.feature", _calls(_by_name(printed[each]), functions))
            for kind, features in _features(profile)
            for each in features
        ),
        *((f"property {n}", text) for n, text in profile.properties if not TABLE.fullmatch(n)),
        *((f"property query({n})", text) for n, text in _number_defaults(profile)),
        *_settings(profile),
    })


def derived_by_vespa(properties: Pairs) -> Facts:
    """Return what Vespa derived."""
    scripts = {
        found["name"]: text for name, text in properties if (found := SCRIPT.fullmatch(name))
    }
    renamed = [text for name, text in properties if name == "vespa.feature.rename"]
    names = dict(zip(renamed[::2], renamed[1::2], strict=True))
    hidden = {text for name, text in properties if name == "vespa.hidden.matchfeature"}
    stated = {"vespa.rank.firstphase": "nativeRank"} | dict(properties)
    functions = {name for name in scripts if "@" not in name} - set(PHASES)
    facts = {(f"function {name}", "") for name in functions}
    facts |= {(phase, "") for phase in PHASES if f"vespa.rank.{phase}" in stated}
    facts |= set(_counts(stated))
    for name, text in properties:
        if name in {f"vespa.{kind}.feature" for kind in FEATURES} and text not in hidden:
            facts.add((name, _calls(names.get(text, text), functions)))
        elif name.startswith("vespa.type."):
            if name.startswith(COMPARED):
                facts.add((name, _type(text)))
        elif name.startswith(COMPARED):
            facts |= {(name, text)} if name not in APART else set()
        elif (
            TABLE.fullmatch(name) is None
            and not name.startswith(("vespa.", "rankingExpression("))
            and not text.startswith("tensor")
        ):
            facts.add((f"property {name}", text))
    return frozenset(facts)


def differences(ours: Facts, theirs: Facts) -> Iterator[str]:
    """Yield each fact that only one side has."""
    for who, facts in (("read", ours - theirs), ("derived", theirs - ours)):
        yield from (f"{who}: {name} = {text[:400]}" for name, text in sorted(facts))


def _settings(profile: RankProfile) -> Iterator[tuple[str, str]]:
    """Yield what a profile says beside expressions, as Vespa's properties."""
    for name, text in profile.settings:
        if name in PROPERTIES and (name, text) != ("termwise-limit", "1.0"):
            yield f"vespa.{PROPERTIES[name]}", _number(TRUTH.get(text, text))
    yield from _limits(profile)
    yield from _match_phase(profile)
    for rank in profile.field_ranks:
        if rank.filter_threshold is not None:
            yield f"vespa.matching.filter_threshold.{rank.field}", str(rank.filter_threshold)
        if rank.element_gap:
            yield f"vespa.matching.element_gap.{rank.field}", rank.element_gap
    for mutation in profile.mutations:
        start = f"vespa.mutate.{mutation.phase.replace('-', '_')}"
        yield f"{start}.attribute", mutation.attribute
        yield f"{start}.operation", mutation.operation


def _limits(profile: RankProfile) -> Iterator[tuple[str, str]]:
    """Yield how many hits the phases rank, and below which score they drop them."""
    for phase, block in (
        (profile.second_phase, "hitcollector.secondphase"),
        (profile.global_phase, "globalphase"),
    ):
        if phase is not None:
            total = phase.total_rerank_count
            yield f"{block} rerank-count", str(phase.rerank_count if total is None else total)
        if phase is not None and phase.drop_limit is not None:
            yield f"vespa.{block}.rankscoredroplimit", str(phase.drop_limit)
    if profile.first_phase_drop_limit is not None:
        yield "vespa.hitcollector.rankscoredroplimit", str(profile.first_phase_drop_limit)


def _match_phase(profile: RankProfile) -> Iterator[tuple[str, str]]:
    if (phase := profile.match_phase) is not None:
        start = "vespa.matchphase.degradation"
        yield f"{start}.attribute", phase.attribute
        yield f"{start}.ascendingorder", str(phase.is_ascending).lower()
        yield f"{start}.maxhits", str(phase.max_hits or 0)
        yield f"{start}.maxfiltercoverage", str(phase.max_filter_coverage)
        yield f"{start}.samplepercentage", str(phase.evaluation_point)
        yield f"{start}.postfiltermultiplier", str(phase.pre_post_filter_tipping_point)
    if (diversity := profile.diversity) is not None:
        start = "vespa.matchphase.diversity"
        yield f"{start}.attribute", diversity.attribute
        yield f"{start}.mingroups", str(diversity.min_groups)
        yield f"{start}.cutoff.factor", str(diversity.cutoff_factor)
        yield f"{start}.cutoff.strategy", "strict" if diversity.is_strict else "loose"


def _number(text: str) -> str:
    """Return a number as Java prints it."""
    return str(float(text)) if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) else text


def _type(text: str) -> str:
    is_tensor = text.startswith("tensor") and text not in TYPE_OF_NUMBERS.values()
    return str(TensorType.parse(text)) if is_tensor else text


def _counts(stated: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield how many hits each phase ranks that Vespa has; a count without a phase says nothing."""
    for phase, block, name in (
        ("secondphase", "hitcollector.secondphase", "vespa.hitcollector.heapsize"),
        ("globalphase", "globalphase", "vespa.globalphase.rerankcount"),
    ):
        if f"vespa.rank.{phase}" in stated:
            yield f"{block} rerank-count", stated.get(name, DEFAULT_COUNT)


def _by_name(feature: str) -> str:
    """Return a feature with a model that it names by file named as Vespa names it then."""

    def named(found: re.Match[str]) -> str:
        output = f".{_identifier(found[2])}" if found[2] else ""
        return f"onnx({_identifier(found[1])}){output}"

    return MODEL_FILE.sub(named, feature)


def _identifier(text: str) -> str:
    """Return a text as an identifier. Source: OnnxModelTransformer.asValidIdentifier."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def _number_defaults(profile: RankProfile) -> Iterator[tuple[str, str]]:
    """Yield the inputs that are numbers with their defaults, as Java prints them."""
    for each in profile.inputs:
        if each.default and not each.type.dimensions and not each.is_text:
            yield each.name, str(float(each.default))


def _calls(text: str, functions: Iterable[str]) -> str:
    """Return an expression without the arguments of calls of functions."""
    for name in functions:
        for found in reversed(list(re.finditer(rf"(?<![\w.$]){re.escape(name)}\(", text))):
            text = text[: found.end() - 1] + text[_closing(text, found.end()) :]
    return text


def _closing(text: str, start: int) -> int:
    """Return the place behind the bracket that closes the one before ``start``."""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place + 1
    return len(text)
