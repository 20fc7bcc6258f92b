"""Writes the compliance files: what Vespa's Java says of every expression of ``sources.py``.

make regen-compliance
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.compliance.sources import INPUTS, TOPICS
from vespa_colbert.errors import VespaColbertError, VespaJavaError
from vespa_colbert.files import atomic_file
from vespa_colbert.rank.standalone import evaluate_expression, kind_of, read_inputs
from vespa_colbert.tensor import literal
from vespa_colbert.vespa_java import VespaJava

FOLDER = Path(__file__).parent


class DisagreementError(Exception):
    """One of the two refuses what the other one evaluates."""


def used(expression: str) -> dict[str, str]:
    words = set(re.findall(r"\w+", expression))
    return {name: text for name, text in INPUTS.items() if name in words}


def case(java: VespaJava, expression: str) -> dict[str, Any]:
    """Return what Java says; the kind of an error is this project's word for it.

    Raises:
        DisagreementError: If one of the two refuses what the other one evaluates.
    """
    inputs = used(expression)
    tensors = read_inputs(inputs)
    found: dict[str, Any] = {"expression": expression, "inputs": inputs}
    try:
        value = java.evaluate_expression(expression, tensors)
    except VespaJavaError as refusal:
        try:
            evaluate_expression(expression, tensors)
        except VespaColbertError as error:
            return found | {"error": kind_of(error)}
        raise DisagreementError(f"{expression}: refused by Vespa alone: {refusal}") from None
    try:
        evaluate_expression(expression, tensors)
    except VespaColbertError as error:
        raise DisagreementError(f"{expression}: refused here alone: {error}") from None
    return found | {"type": str(value.type), "result": literal(value)}


def main() -> None:
    """Write a file a topic."""
    with VespaJava() as java:
        faults: list[str] = []
        version = java.versions()["vespa"]
        for topic, expressions in TOPICS.items():
            cases = []
            for each in dict.fromkeys(expressions):
                try:
                    cases.append(case(java, each))
                except DisagreementError as fault:
                    faults.append(str(fault))
            lines = ",\n    ".join(json.dumps(each, ensure_ascii=False) for each in cases)
            text = f'{{\n  "vespa": "{version}",\n  "cases": [\n    {lines}\n  ]\n}}\n'
            with atomic_file(FOLDER / f"{topic}.json") as path:
                path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"{topic}: {len(cases)} cases\n")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
