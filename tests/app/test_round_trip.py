from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vespa_colbert.app import (
    ApplicationSpec,
    Constant,
    Diversity,
    DocumentSummary,
    Field,
    FieldRank,
    FieldSet,
    Function,
    Input,
    MatchPhase,
    Mutation,
    NamedSettings,
    OnnxModel,
    RankProfile,
    Rerank,
    Schema,
    StructField,
    read_application,
    read_schema,
    render_app,
    render_schema,
)
from vespa_colbert.app.faults import NO_NUMBER
from vespa_colbert.app.field_settings import (
    ATTRIBUTE_WORDS,
    INDEX_WORDS,
    MATCH_WORDS,
    RANK_WORDS,
    VALUES,
)
from vespa_colbert.app.texts import (
    dashed_name_fault,
    expression_fault,
    field_name_fault,
    function_name_fault,
    name_fault,
    one_line,
    schema_name_fault,
    statement_fault,
)
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, Dimension, TensorType

WORDS = [
    "schema", "document", "field", "type", "rank", "inherits", "function", "inline", "query",
    "expression", "inputs", "constant", "file", "index", "attribute", "match", "summary", "double",
    "tensor", "value", "model", "fields", "title", "a", "b1", "_x", "Zz",
]  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(WORDS), st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
)
BLOCK_NAMES = NAMES.filter(lambda name: not name_fault(name))
VALUE_NAMES = NAMES.filter(lambda name: not name_fault(name, kept=NO_NUMBER))
FUNCTION_NAMES = NAMES.filter(lambda name: not function_name_fault(name))
FIELD_NAMES = NAMES.filter(lambda name: not field_name_fault(name))
DASHED = st.one_of(
    NAMES, st.sampled_from(["a-b", "first-phase", "rank-profile", "x--y", "inherits-"])
).filter(lambda name: not dashed_name_fault(name))
DIMENSIONS = st.lists(
    st.builds(Dimension, NAMES, st.one_of(st.none(), st.integers(1, 4096))),
    min_size=1,
    max_size=3,
    unique_by=lambda dimension: dimension.name,
)
TENSOR_TYPES = st.builds(
    lambda cells, dimensions: TensorType(cells, tuple(dimensions)),
    st.sampled_from(CellType),
    DIMENSIONS,
)
TYPES = st.one_of(TENSOR_TYPES, st.just(TensorType(CellType.DOUBLE)))
PIECES = st.sampled_from(
    ["a", "bm25(title)", "query(qt)", "1.5e-3", "-", "+", "*", "==", ",", ".", ":", "<", "|", "||",
     '"x { y"', "'#'", '"; "', "if", "expression: x", "f(a, b)", "é", "#", "\n", "\t", "{", "("]
)  # fmt: skip
EXPRESSIONS = (
    st
    .recursive(
        st.lists(PIECES, min_size=1, max_size=6).map(" ".join),
        lambda inner: st.one_of(
            inner.map("({})".format),
            inner.map("{{ {} }}".format),
            inner.map("[{}]".format),
            st.tuples(inner, inner).map(" * ".join),
        ),
        max_leaves=4,
    )
    .map(one_line)
    .filter(lambda text: not expression_fault(text))
)
STATEMENTS = EXPRESSIONS.filter(lambda text: not statement_fault(text))
FEATURES = st.sampled_from([
    "bm25(title)",
    "max_sim",
    "attribute(a)",
    'foo("a b",c).d.e',
    "f(g(h))",
])
LITERALS = st.sampled_from([
    "0",
    "-1.5",
    "[1, 2]",
    "[[1],[2]]",
    "{a: 1.0, b:2}",
    "{{x:a, y:b}: [1,2]}",
])
SOMETIMES = st.one_of(st.none(), st.integers(0, 10**6))


def several(strategy: st.SearchStrategy[Any], size: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=size).map(tuple)


def by_name(strategy: st.SearchStrategy[Any], size: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=size, unique_by=lambda part: part.name).map(tuple)


SAMPLES = {
    "a name": ["hamming", "x-y", "x.y"],
    "a whole number": ["8", "-1"],
    "a number with a decimal point": ["0.5"],
    "a text in double quotes": ['"} # {"', '"@@"'],
}


def words(known: frozenset[str]) -> st.SearchStrategy[tuple[str, ...]]:
    settings = [
        f"{word}: {value}" if value else word
        for word in sorted(known)
        for value in (SAMPLES[VALUES[word]] if word in VALUES else [""])
    ]
    return several(st.sampled_from(settings), 2)


WORD = st.sampled_from(["about", "identity", "tags"])
STRUCT_FIELDS = st.builds(
    StructField,
    name=BLOCK_NAMES.map("value.{}".format),
    indexing=several(STATEMENTS, 1),
    attribute=words(ATTRIBUTE_WORDS),
    rank=words(RANK_WORDS),
)


@st.composite
def fields(draw: st.DrawFn) -> Field:
    plain = st.sampled_from(["string", "int", "array<string>", "map<string,array<int>>", "tensors"])
    return Field(
        name=draw(FIELD_NAMES),
        type=draw(st.one_of(plain, TENSOR_TYPES.map(str))),
        indexing=draw(st.lists(STATEMENTS, min_size=1, max_size=2).map(tuple)),
        index=draw(words(INDEX_WORDS)),
        attribute=draw(words(ATTRIBUTE_WORDS - {"paged"})),
        match=draw(words(MATCH_WORDS)),
        stemming=draw(st.sampled_from(["", "none", "best"])),
        normalizing=draw(st.sampled_from(["", "none"])),
        in_document=draw(st.booleans()),
        rank=draw(words(RANK_WORDS)),
        rank_types=draw(several(st.tuples(st.one_of(st.just(""), BLOCK_NAMES), WORD), 2)),
        weight=draw(SOMETIMES),
        linguistics=draw(
            st.sampled_from([
                (),
                (("index", "a"), ("search", "b")),
                (("index", ""), ("search", "c")),
            ])
        ),
        struct_fields=draw(several(STRUCT_FIELDS, 2)),
        other_indexes=draw(several(st.builds(NamedSettings, name=st.just("other_index")), 1)),
    )


DECIMALS = st.one_of(
    st.sampled_from([0.0, -0.5, 1e-9, 1e22]), st.floats(0, 1, allow_subnormal=False)
)
LIMITS = st.one_of(st.none(), DECIMALS)
SETTINGS = st.dictionaries(
    st.sampled_from([
        "num-threads-per-search", "first-phase.keep-rank-count", "min-hits-per-thread",
        "first-phase.total-keep-rank-count",
    ]),
    st.integers(0, 10**6).map(str),
).flatmap(
    lambda counts: st.sampled_from([
        (),
        (("weakand.allow-drop-all", "true"), ("weakand.stopword-limit", "0.5")),
        (("ignore-default-rank-features", "true"), ("significance.use-model", "false")),
    ]).map(lambda others: (*counts.items(), *others))
)  # fmt: skip
PROPERTY_TEXTS = st.sampled_from(["bm25(title).k1", "a, b", "$x", "it's", 'say "so"', "# } {", "1"])
MATCH_PHASES = st.builds(
    MatchPhase,
    attribute=BLOCK_NAMES,
    max_hits=st.integers(0, 10**6),
    total_max_hits=SOMETIMES,
    is_ascending=st.booleans(),
    max_filter_coverage=DECIMALS,
    evaluation_point=DECIMALS,
)
DIVERSITIES = st.builds(
    Diversity,
    attribute=BLOCK_NAMES,
    min_groups=st.integers(1, 100),
    cutoff_factor=DECIMALS,
    is_strict=st.booleans(),
)
FIELD_RANKS = st.builds(
    FieldRank,
    field=BLOCK_NAMES,
    weight=st.integers(0, 500),
    rank_type=st.sampled_from(["", "about"]),
    is_filter=st.booleans(),
    filter_threshold=st.one_of(st.none(), st.floats(0, 1, allow_subnormal=False)),
    element_gap=st.sampled_from(["", "3", "infinity"]),
)
MUTATIONS = st.builds(
    Mutation,
    phase=st.sampled_from(["on-match", "on-summary"]),
    attribute=BLOCK_NAMES,
    operation=st.sampled_from(["=1", "+=2.5", "-=3"]),
)
MODELS = st.builds(
    OnnxModel,
    name=BLOCK_NAMES,
    file=st.just("models/a.onnx"),
    inputs=several(st.tuples(st.sampled_from(["a", "b c"]), FEATURES)),
    outputs=several(st.tuples(st.sampled_from(["a", "b/c:1"]), NAMES)),
    settings=st.sampled_from([(), ("gpu-device: 0", "execution-mode: parallel")]),
)

RERANKS = st.builds(
    Rerank,
    expression=st.one_of(st.just(""), EXPRESSIONS),
    rerank_count=SOMETIMES,
    total_rerank_count=SOMETIMES,
    drop_limit=LIMITS,
).filter(lambda phase: phase != Rerank())
PROFILES = st.builds(
    RankProfile,
    name=DASHED,
    inputs=by_name(
        st.builds(Input, name=VALUE_NAMES, type=TYPES, default=st.one_of(st.just(""), LITERALS))
    ),
    constants=by_name(
        st.one_of(
            st.builds(Constant, name=VALUE_NAMES, type=TYPES, value=LITERALS),
            st.builds(Constant, name=VALUE_NAMES, type=TYPES, file=st.just("constants/a_b-c.json")),
        )
    ),
    functions=by_name(
        st.builds(
            Function,
            name=NAMES.filter(lambda name: not function_name_fault(name)),
            arguments=several(BLOCK_NAMES),
            expression=EXPRESSIONS,
            is_inline=st.booleans(),
        )
    ),
    first_phase=st.one_of(st.just(""), EXPRESSIONS),
    second_phase=st.one_of(st.none(), RERANKS),
    global_phase=st.one_of(
        st.none(),
        st.builds(Rerank, expression=EXPRESSIONS, rerank_count=SOMETIMES),
    ),
    match_features=several(FEATURES),
    summary_features=several(FEATURES),
    rank_features=several(FEATURES),
    first_phase_drop_limit=LIMITS,
    properties=several(st.tuples(PROPERTY_TEXTS, PROPERTY_TEXTS)),
    settings=SETTINGS,
    onnx_models=by_name(MODELS),
    match_phase=st.one_of(st.none(), MATCH_PHASES),
    diversity=st.one_of(st.none(), DIVERSITIES),
    field_ranks=st.lists(FIELD_RANKS, max_size=2, unique_by=lambda rank: rank.field).map(tuple),
    mutations=several(MUTATIONS),
)


SUMMARIES = st.builds(DocumentSummary, name=DASHED, fields=several(DASHED), from_disk=st.booleans())
FILES = st.builds(Constant, name=VALUE_NAMES, type=TENSOR_TYPES, file=st.just("constants/a.json"))


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    some = draw(by_name(fields(), 4))
    fieldsets: tuple[FieldSet, ...] = ()
    if some:
        members = st.lists(st.sampled_from([field.name for field in some]), min_size=1).map(tuple)
        fieldsets = draw(by_name(st.builds(FieldSet, name=BLOCK_NAMES, fields=members)))
    profiles = list(draw(by_name(PROFILES)))
    for place, profile in enumerate(profiles[1:], 1):
        if draw(st.booleans()):
            parent = profiles[place - 1].name
            added = (parent,) if draw(st.booleans()) else ()
            profiles[place] = replace(profile, inherits=(parent,), match_features_inherit=added)
    return Schema(
        name=draw(NAMES.filter(lambda name: not schema_name_fault(name))),
        fields=some,
        fieldsets=fieldsets,
        summaries=draw(by_name(SUMMARIES)),
        constants=draw(by_name(FILES)),
        rank_profiles=tuple(profiles),
        stemming=draw(st.sampled_from(["", "none"])),
    )


# Without shrinking, which takes minutes for values of this size and says little more.
@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(schemas())
def test_a_printed_schema_is_read_back_as_it_was(schema: Schema) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{schema.name}.sd"
        path.write_text(render_schema(schema), encoding="utf-8")
        assert read_schema(path) == schema


def test_a_generated_application_is_read_back_as_it_was(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    assert read_application(tmp_path / "app").schemas == spec.schemas
