"""MaxSim as Vespa's Java computes it.

Java keeps products of floats, and the cells of a tensor with nothing but mapped dimensions, in
double, where the content nodes and the algebra round each to float: one ulp of float for every
query token. The kernels sum in float32, as the content nodes do: one ulp for every component.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.required import import_or_skip
from vespa_colbert.arrays import pack_bits, truncate_to_bfloat16
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.kernels import queries
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

FLOAT = "sum(reduce(sum(query(qt) * attribute(d), x), max, dt), qt)"
FORMS = {
    "float": FLOAT,
    "bfloat16": FLOAT,
    "int8": FLOAT,
    "double": FLOAT,
    "bits": "sum(reduce(sum(query(qt) * unpack_bits(attribute(d)), x), max, dt), qt)",
    "hamming": "sum(reduce(1 / (1 + sum(hamming(query(qt), attribute(d)), x)), max, dt), qt)",
    "distance": "sum(reduce(sum(hamming(query(qt), attribute(d)), x), min, dt), qt)",
}
WHOLE = {"hamming", "distance"}
"""Forms that compare whole numbers, none of them negative."""

JAVA_FORMS = FORMS | {
    "hamming": "sum(reduce(map(sum(hamming(query(qt), attribute(d)), x), f(h)(1 / (1 + h))), "
    "max, dt), qt)"
}
"""Java cannot divide a number by a tensor, which the content nodes can."""

STYLES = ["any", "negative", "ties"]
SIZES = [0, 1, 2, 3, 7, 32, 33, 61]
FLOAT_ULP, DOUBLE_ULP = 2.0**-23, 2.0**-52


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One query and one document."""

    form: str
    style: str
    tokens: int
    rows: int
    dim: int
    seed: int

    def __str__(self) -> str:
        return f"{self.form}, {self.style}: {self.tokens} x {self.rows} x {self.dim}"


def cases() -> list[Case]:
    """Return 504 cases of every form and style, and the largest of them."""
    generator, made = np.random.default_rng(0), list[Case]()
    for form in FORMS:
        for style in STYLES:
            for number in range(24):
                tokens, rows = generator.choice(SIZES, 2)
                # One side is empty, then the other, then both.
                tokens = 0 if number in {0, 2} else int(tokens)
                rows = 0 if number in {1, 2} else int(rows)
                dim = int(generator.choice([8, 16, 24]))
                seed = len(made)
                made.append(
                    Case(form=form, style=style, tokens=tokens, rows=rows, dim=dim, seed=seed)
                )
    largest = [("float", 32, 512), ("bits", 32, 512), ("hamming", 512, 32), ("bfloat16", 512, 3)]
    return made + [
        Case(form=form, style="any", tokens=tokens, rows=rows, dim=16, seed=len(made))
        for form, tokens, rows in largest
    ]


CASES = cases()
FEW = CASES[::16]


def vectors(case: Case, count: int, seed: int, *, sign: float) -> np.ndarray:
    """Return unit vectors; equal ones for ties, of one sign for negative products."""
    generator = np.random.default_rng((case.seed, seed))
    made = generator.normal(size=(count, case.dim))
    made = sign * np.abs(made) if case.style == "negative" else made
    if case.style == "ties" and count:
        made = made[generator.integers(0, min(2, count), count)]
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def packed(values: np.ndarray) -> np.ndarray:
    return pack_bits(values.astype(np.float32))


def given(case: Case) -> tuple[Tensor, DocumentRows]:
    """Return the query and the document of a case."""
    # Bits are not negative; with them it is the query that makes products so.
    asked = vectors(case, case.tokens, 1, sign=-1.0)
    held = vectors(case, case.rows, 2, sign=1.0)
    cells: np.ndarray
    kind = {"bits": "int8", "hamming": "int8", "distance": "int8"}.get(case.form, case.form)
    if case.form in {"bits", "hamming", "distance"}:
        cells = packed(held)
    elif case.form == "int8":
        cells = (held * 127).astype(np.int8)
    else:
        cells = held if kind == "double" else held.astype(np.float32)
        cells = truncate_to_bfloat16(cells) if kind == "bfloat16" else cells
    spec = TensorType.parse(f"tensor<{kind}>(dt{{}},x[{cells.shape[1]}])")
    offsets = np.array([0, case.rows], np.int64)
    rows = DocumentRows(type=spec, offsets=offsets, values=cells)
    if case.form in {"hamming", "distance"}:
        words = packed(asked)
        return Tensor.rows(
            TensorType.parse(f"tensor<int8>(qt{{}},x[{words.shape[1]}])"), words
        ), rows
    query_kind = "double" if kind == "double" else "float"
    return Tensor.rows(TensorType.parse(f"tensor<{query_kind}>(qt{{}},x[{case.dim}])"), asked), rows


def tolerance(case: Case) -> float:
    """Return one ulp for each query token, of the longest product there is."""
    if case.form == "distance":
        return 0.0
    longest: float = {"bits": case.dim**0.5, "int8": 127 * case.dim**0.5}.get(case.form, 1.0)
    return float(case.tokens * longest) * (DOUBLE_ULP if case.form == "double" else FLOAT_ULP)


def check(case: Case, judge: VespaJava) -> None:
    query, rows = given(case)
    source = FORMS[case.form]
    alone: dict[str, Tensor] = {"query(qt)": query, "attribute(d)": rows.document(0)}
    wanted = judge.evaluate_expression(JAVA_FORMS[case.form], alone).as_number()
    tree = parse_expression(source)
    algebra = Evaluation(alone.get, 1, uses_kernels=False).value(tree, {}).as_number()
    assert abs(algebra - wanted) <= tolerance(case), f"{case}: the algebra"
    batch: dict[str, Tensor | DocumentRows] = {"query(qt)": query, "attribute(d)": rows}
    (kernel,) = Evaluation(batch.get, 1).scores(tree)
    if case.form in WHOLE:
        assert kernel == algebra
    assert abs(kernel - wanted) <= case.dim * tolerance(case), f"{case}: the kernel"
    if case.style == "negative" and case.tokens and case.rows and case.form not in WHOLE:
        assert kernel < 0


@pytest.fixture(params=["numpy", "numba"])
def _engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numba":
        import_or_skip("numba")
        monkeypatch.setattr(queries, "WORTH_COMPILING", 0)


@pytest.mark.usefixtures("_engine")
def test_a_few_cases(judge: VespaJava) -> None:
    assert {case.form for case in FEW} == set(FORMS)
    for case in FEW:
        check(case, judge)


@pytest.mark.slow
@pytest.mark.usefixtures("_engine")
def test_every_case(judge: VespaJava) -> None:
    assert len(CASES) > 500
    for case in CASES:
        check(case, judge)
