"""Literals, document JSON and casts against Vespa's own code, in a few large calls."""

from __future__ import annotations

import itertools
import json
import random
import re

import numpy as np
import pytest

from tests.random_tensors import random_tensors
from tests.tensor.test_document_json import FORMS as JSON_FORMS
from tests.tensor.test_literal import FORMS
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.tensor import CellType, Tensor, TensorType, literal, parse_literal
from vespa_colbert.tensor.cells import cast_cells
from vespa_colbert.tensor.document_json import tensor_from_json, tensor_to_json
from vespa_colbert.vespa_java import VespaJava
from vespa_colbert.vespa_java.tensor_forms import Refusal

pytestmark = pytest.mark.java

COUNT = 400
TENSORS = random_tensors(COUNT, seed=20260822)
"""Of all cell types and kinds of dimensions, with NaN, infinities, -0.0 and awkward labels."""

MUTANTS = 2000
STRICTER = re.compile(
    r"whole number from -128|expected a label|expected ',' or|expected the end|occurs twice"
    r"|expected a dimension such as"
)
"""Faults that Vespa passes over, as the docstring of ``tensor.literal`` lists them."""

SPACE_IN_TYPE = re.compile(r"\s*tensor[^:]*\s[^:]*:")


def test_vespa_reads_every_form_as_we_do(judge: VespaJava) -> None:
    texts = [text for text, _, _ in FORMS]
    # Vespa reads the lower-case words in document JSON alone.
    for text, answer in zip(texts, judge.read_literals([(t, None) for t in texts]), strict=True):
        assert parse_literal(text) == answer, text


def test_a_dimension_may_begin_with_a_digit(judge: VespaJava) -> None:
    text = "tensor(1a{},2[1]):{x:[1]}"
    assert judge.read_literals([(text, None)]) == [parse_literal(text)]


def test_literals_pass_through_vespa_and_back(judge: VespaJava) -> None:
    for short in (True, False):
        texts = [literal(tensor, short=short) for tensor in TENSORS]
        answers = judge.read_literals([(text, None) for text in texts])
        for tensor, text, answer in zip(TENSORS, texts, answers, strict=True):
            assert tensor == answer, text


def test_vespas_own_literals_are_read(judge: VespaJava) -> None:
    for tensor, printed in zip(TENSORS, judge.print_tensors(TENSORS), strict=True):
        assert isinstance(printed, tuple), printed
        for text in printed:
            if not _is_bare_block(tensor, text):
                assert parse_literal(text) == tensor, text


def test_we_print_what_vespa_prints(judge: VespaJava) -> None:
    same = 0
    for tensor, printed in zip(TENSORS, judge.print_tensors(TENSORS), strict=True):
        if tensor.type.is_number or _is_bare_block(tensor, printed[0]):
            continue
        assert (literal(tensor), literal(tensor, short=False)) == printed
        same += 1
    assert same > COUNT // 2


def _is_bare_block(tensor: Tensor, text: str) -> bool:
    """Return whether Vespa printed blocks of one cell without brackets, which it cannot read."""
    one = len(tensor.type.mapped) == 1 and tensor.type.shape and set(tensor.type.shape) == {1}
    return bool(one) and not text.startswith(f"{tensor.type}:{{{{")


def test_vespa_reads_every_form_of_document_json_as_we_do(judge: VespaJava) -> None:
    # Vespa's feed takes an index that is a number; its JsonFormat does not.
    forms = [(kind, text) for kind, text, _ in JSON_FORMS if '{"x":1}' not in text]
    forms = [each for each in forms if each != ("tensor(x{})", '{"type":3}')]
    for (kind, text), answer in zip(forms, judge.read_json_tensors(forms), strict=True):
        assert tensor_from_json(json.loads(text), TensorType.parse(kind)) == answer, text


@pytest.mark.parametrize("hexadecimal", [False, True])
def test_vespa_reads_the_document_json_that_we_write(judge: VespaJava, hexadecimal: bool) -> None:
    cases = [
        (
            "tensor()" if tensor.type.is_number else str(tensor.type),
            json.dumps(tensor_to_json(tensor, hexadecimal=hexadecimal), allow_nan=False),
        )
        for tensor in TENSORS
    ]
    for tensor, case, answer in zip(TENSORS, cases, judge.read_json_tensors(cases), strict=True):
        assert tensor == answer, case


def test_the_document_json_that_vespa_writes_is_read(judge: VespaJava) -> None:
    finite = [tensor for tensor in TENSORS if np.isfinite(tensor.values).all()]
    assert len(finite) > COUNT // 4
    for options in itertools.product([False, True], repeat=3):
        short, direct, hexadecimal = options
        written = judge.write_json_tensors(
            finite, short=short, direct=direct, hexadecimal=hexadecimal
        )
        for tensor, text in zip(finite, written, strict=True):
            assert tensor_from_json(json.loads(text), tensor.type) == tensor, text


def test_hexadecimal_digits_carry_what_json_has_no_numbers_for(judge: VespaJava) -> None:
    dense = [tensor for tensor in TENSORS if tensor.type.indexed]
    written = judge.write_json_tensors(dense, short=True, direct=False, hexadecimal=True)
    for tensor, text in zip(dense, written, strict=True):
        assert tensor_from_json(json.loads(text), tensor.type) == tensor, text


def test_cell_cast_stores_what_vespa_stores(judge: VespaJava) -> None:
    values = [0.9, -0.9, 127.5, 127.9999999, 128, -128.9, -129, 300, 65541, -2147483904.0]
    values += [float("nan"), float("-inf"), 1e300, -1e300, 1.0078124, 1e-45, 5e-324, -0.0, 0.1]
    kind = TensorType.parse(f"tensor(x[{len(values)}])")
    for cell_type in CellType:
        known = np.array(values)
        if cell_type is CellType.INT8:
            # Too large for both engines to agree; the cast is refused.
            known = np.where(known >= 2**31, 1, known)
        answer = judge.evaluate_expression(
            f"cell_cast(a,{cell_type})", {"a": Tensor.dense(kind, known)}
        )
        wanted = TensorType(cell_type, kind.dimensions)
        assert answer == Tensor.dense(wanted, cast_cells(known, cell_type))


def test_no_damaged_literal_is_read_as_another_tensor(judge: VespaJava) -> None:
    texts = _damaged()
    both = 0
    for text, answer in zip(texts, judge.read_literals([(t, None) for t in texts]), strict=True):
        ours = _read_or_fault(text)
        if isinstance(ours, Tensor) and isinstance(answer, Tensor):
            assert ours == answer, text
            both += 1
        elif isinstance(ours, Tensor):
            assert SPACE_IN_TYPE.match(text), text
        else:
            assert isinstance(answer, Refusal) or STRICTER.search(ours), text
    assert both > MUTANTS // 20


def _read_or_fault(text: str) -> Tensor | str:
    try:
        return parse_literal(text)
    except VespaColbertError as error:
        return str(error)


def _damaged() -> list[str]:
    """Return literals with one or two characters changed, left out or put in."""
    generator = random.Random(8)  # noqa: S311 - no secret
    sound = [literal(tensor) for tensor in TENSORS if tensor.values.size < 20]
    found = []
    for _ in range(MUTANTS):
        characters = list(generator.choice(sound))
        for _ in range(generator.randint(1, 2)):
            place = generator.randrange(len(characters))
            new = generator.choice([*"{}[]:,'\" 01.axm-eE\\", ""])
            end = place + generator.randint(0, 1)
            characters[place:end] = [new] if new else []
        found.append("".join(characters))
    return found
