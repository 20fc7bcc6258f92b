"""Which MaxSim has a kernel, and what the phases of a profile compute."""

from __future__ import annotations

import pytest

from vespa_colbert.app import Field, Function, Input, RankProfile, Rerank, Schema
from vespa_colbert.plan.work import ProfileWork, Tokens, profile_work
from vespa_colbert.tensor import TensorType

FIELDS = {
    "rows": "tensor<float>(dt{},x[128])",
    "brief": "tensor<bfloat16>(dt{},x[128])",
    "bits": "tensor<int8>(dt{},x[16])",
    "long": "tensor<int8>(context{},token{},x[16])",
    "fixed": "tensor<float>(dt[50],x[128])",
}
INPUTS = {
    "qt": "tensor<float>(qt{},x[128])",
    "qb": "tensor<int8>(qt{},x[16])",
    "qf": "tensor<float>(qt[8],x[128])",
}
TOKENS = Tokens(document=100.0, query=32, of_field={"bits": 80.0})
MAX_SIM = "sum(reduce(sum(query({q}) * {d}, x), max, {t}), qt)"
FLOAT_MAX_SIM = MAX_SIM.format(q="qt", d="attribute(rows)", t="dt")
LONG_MAX_SIM = MAX_SIM.format(q="qt", d="unpack_bits(attribute(long))", t="token")
HAMMING = "sum(reduce(1/(1 + sum(hamming(query(qb), attribute(bits)), x)), max, dt), qt)"
OF_CHUNK = "sum(reduce(1/(1 + sum(hamming(query(qb), attribute(long)), x)), max, token), qt)"


def work(*functions: Function, **said: object) -> ProfileWork:
    profile = RankProfile(
        name="p",
        inputs=tuple(Input(name=name, type=TensorType.parse(it)) for name, it in INPUTS.items()),
        functions=functions,
        **said,  # type: ignore[arg-type]
    )
    fields = tuple(
        Field(name=name, type=kind, indexing=("attribute",)) for name, kind in FIELDS.items()
    )
    schema = Schema(name="doc", fields=fields, rank_profiles=(profile,))
    return profile_work(schema, "p", TOKENS)


@pytest.mark.parametrize(
    ("expression", "kernel"),
    [
        (FLOAT_MAX_SIM, "dot product"),
        (MAX_SIM.format(q="qt", d="unpack_bits(attribute(bits))", t="dt"), "dot product"),
        (MAX_SIM.format(q="qt", d="cell_cast(attribute(brief), float)", t="dt"), "dot product"),
        ("sum(reduce(sum(attribute(rows) * query(qt), x), max, dt), qt)", "dot product"),
        (HAMMING, "inverse Hamming"),
        (f"reduce({OF_CHUNK}, max, context)", "inverse Hamming"),
    ],
)
def test_a_kernel_applies(expression: str, kernel: str) -> None:
    (phase,) = work(first_phase=expression).phases
    (found,) = phase.max_sims
    assert found.verdict.kernel == kernel
    assert found.verdict.reason == ""


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (MAX_SIM.format(q="qt", d="attribute(brief)", t="dt"), "bfloat16"),
        (MAX_SIM.format(q="qt", d="unpack_bits(attribute(long))", t="context, token"), "2 dim"),
        (
            f"reduce({LONG_MAX_SIM}, max, context)",
            "3 dimensions",
        ),
        (MAX_SIM.format(q="qt", d="attribute(fixed)", t="dt"), "indexed"),
        (MAX_SIM.format(q="qf", d="attribute(rows)", t="dt"), "indexed"),
        ("sum(reduce(sum(query(qt) * attribute(rows), x), max, dt))", "names no dimension"),
        (OF_CHUNK, "3 dimensions"),
        (
            "sum(1/(1 + reduce(sum(hamming(query(qb), attribute(bits)), x), min, dt)), qt)",
            "inverse is taken",
        ),
        (
            "sum(reduce(sum(hamming(query(qb), attribute(bits)), x), min, dt), qt)",
            "smallest Hamming",
        ),
    ],
)
def test_no_kernel_applies_and_the_reason_is_said(expression: str, reason: str) -> None:
    (phase,) = work(first_phase=expression).phases
    (found,) = phase.max_sims
    assert not found.verdict.applies
    assert reason in found.verdict.reason


def test_a_function_in_the_middle_cuts_the_kernel_unless_it_is_inline() -> None:
    outer = "sum(reduce(products, max, dt), qt)"
    body = "sum(query(qt) * attribute(rows), x)"
    cut = work(Function(name="products", expression=body), first_phase=outer)
    assert "function products" in cut.phases[0].max_sims[0].verdict.reason
    whole = work(Function(name="products", expression=body, is_inline=True), first_phase=outer)
    assert whole.phases[0].max_sims[0].verdict.applies


def test_a_function_around_or_below_the_maxsim_cuts_nothing() -> None:
    bits = Function(name="vectors", expression="unpack_bits(attribute(bits))")
    max_sim = Function(name="score", expression=MAX_SIM.format(q="qt", d="vectors", t="dt"))
    assert work(bits, max_sim, first_phase="score").phases[0].max_sims[0].verdict.applies


def test_the_global_phase_has_no_kernel() -> None:
    found = work(first_phase="1", global_phase=Rerank(expression=FLOAT_MAX_SIM))
    assert "container" in found.phases[0].max_sims[0].verdict.reason


@pytest.mark.parametrize(
    ("expression", "operations"),
    [
        # 100 · 32 · 128 · 2
        (FLOAT_MAX_SIM, 819_200),
        # 80 were counted for this field; 128 components after unpacking.
        (MAX_SIM.format(q="qt", d="unpack_bits(attribute(bits))", t="dt"), 655_360),
        # 80 · 32 · 16 bytes · 2
        (HAMMING, 81_920),
        # 50 · 32 · 128 · 2: the document's tokens are stated by its type
        (MAX_SIM.format(q="qt", d="attribute(fixed)", t="dt"), 409_600),
        # 100 · 8 · 128 · 2: the query's are
        (MAX_SIM.format(q="qf", d="attribute(rows)", t="dt"), 204_800),
        # the same one twice is computed once, two are added
        (f"{FLOAT_MAX_SIM} + {FLOAT_MAX_SIM}", 819_200),
        (f"{FLOAT_MAX_SIM} + {HAMMING}", 901_120),
    ],
)
def test_operations_are_documents_tokens_times_query_tokens_times_dims_times_two(
    expression: str, operations: int
) -> None:
    (phase,) = work(first_phase=expression).phases
    assert phase.operations == operations


def test_windows_are_those_that_the_phases_state() -> None:
    found = work(
        first_phase=FLOAT_MAX_SIM,
        second_phase=Rerank(expression=HAMMING, total_rerank_count=400),
        global_phase=Rerank(expression=FLOAT_MAX_SIM, rerank_count=12),
    )
    windows = {each.phase: (each.count, each.is_total) for each in found.phases}
    assert windows == {
        "first-phase": (None, False),
        "second-phase": (400, True),
        "global-phase": (12, True),
    }
    default = work(first_phase="1", second_phase=Rerank(expression=HAMMING))
    assert [(each.count, each.is_total) for each in default.phases] == [(100, False)]


def test_a_profile_that_cannot_be_read_says_why() -> None:
    assert "expected" in work(first_phase="sum(query(qt) * , x)").fault


def test_a_profile_without_maxsim_has_no_phases() -> None:
    found = work(first_phase="bm25(text)")
    assert (found.phases, found.fault) == ((), "")


def test_match_features_are_computed_again_for_the_hits_that_a_node_returns() -> None:
    score = Function(name="score", expression=FLOAT_MAX_SIM)
    found = work(score, first_phase="score", match_features=("score", "bm25(text)"))
    assert [(each.phase, each.count) for each in found.phases] == [
        ("first-phase", None),
        ("match-features", 10),
    ]
    assert found.phases[1].operations == found.phases[0].operations


def test_the_global_phase_takes_match_features_as_they_come() -> None:
    score = Function(name="score", expression=FLOAT_MAX_SIM)
    last = Rerank(expression="reciprocal_rank(score) + score", rerank_count=40)
    sent = work(score, first_phase="1", match_features=("score",), global_phase=last)
    assert [(each.phase, each.count) for each in sent.phases] == [("match-features", 40)]
    computed = work(score, first_phase="1", global_phase=last)
    assert [(each.phase, each.count) for each in computed.phases] == [("global-phase", 40)]
