"""Calls about the language: how Vespa reads and prints expressions, tensor literals and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.binary import decode_tensor, encode_tensor
from vespa_colbert.vespa_java.documents import JavaDocument
from vespa_colbert.vespa_java.expressions import JavaExpression
from vespa_colbert.vespa_java.tensor_forms import Refusal

__all__ = [
    "CASES_A_REQUEST",
    "TEXTS_A_REQUEST",
    "LanguageCalls",
    "package_folder",
    "parts",
    "require_text",
    "spelled",
]

TEXTS_A_REQUEST = 1000
"""Texts or tensors that one request carries; each takes well under a millisecond."""

CASES_A_REQUEST = 8
"""Evaluations or texts to embed of one request: few, so that the timeout is one of a few."""

Item = TypeVar("Item")


class LanguageCalls:
    """What a client asks about texts; it knows how to ask."""

    def _ask(self, verb: str, *arguments: Any) -> Any:
        """Return Java's answer.

        Raises:
            NotImplementedError: Here; whoever has the process answers.
        """
        raise NotImplementedError

    def print_expressions(self, texts: Sequence[str]) -> list[JavaExpression]:
        """Return what Vespa's parser makes of each text: how it prints it, or why it cannot.

        Raises:
            VespaJavaError: If a text has half a surrogate pair.
        """
        for number, text in enumerate(texts):
            require_text(text, f"text {number}")
        found: list[JavaExpression] = []
        for part in parts(texts, TEXTS_A_REQUEST):
            found += self._ask("print_expressions", part)
        return found

    def read_literals(self, cases: Sequence[tuple[str, str | None]]) -> list[Tensor | Refusal]:
        """Return the tensors that literals spell; beside each the type it must have, or nothing."""
        return self._tensors("read_literals", cases)

    def read_json_tensors(self, cases: Sequence[tuple[str, str]]) -> list[Tensor | Refusal]:
        """Return the tensors that document JSON spells; a case is a type and the JSON."""
        return self._tensors("read_json_tensors", cases)

    def print_tensors(self, tensors: Sequence[Tensor]) -> list[tuple[str, str] | Refusal]:
        """Return tensors as Vespa prints them: in short form, and with every cell's address."""
        found: list[tuple[str, str] | Refusal] = []
        for part in parts(tensors, TEXTS_A_REQUEST):
            found += self._ask("print_tensors", [encode_tensor(tensor) for tensor in part])
        return found

    def write_json_tensors(
        self, tensors: Sequence[Tensor], *, short: bool, direct: bool, hexadecimal: bool
    ) -> list[str | Refusal]:
        """Return tensors as document JSON.

        Args:
            tensors: Any tensors.
            short: Whether to write ``values`` and ``blocks`` rather than ``cells``.
            direct: Whether to leave out the object with the type around them.
            hexadecimal: Whether to write dense blocks as hexadecimal digits.
        """
        found: list[str | Refusal] = []
        for part in parts(tensors, TEXTS_A_REQUEST):
            cases = [(encode_tensor(tensor), short, direct, hexadecimal) for tensor in part]
            found += self._ask("write_json_tensors", cases)
        return found

    def read_documents(self, folder: Path, lines: Sequence[str]) -> list[JavaDocument | Refusal]:
        """Return what Vespa reads in lines of a feed, or why it refuses a line.

        Args:
            folder: An application package with their document types.
            lines: A put operation each.

        Raises:
            VespaJavaError: If Vespa refuses the package, or a line has half a surrogate pair.
        """
        for number, line in enumerate(lines, start=1):
            require_text(line, f"line {number}")
        found: list[JavaDocument | Refusal] = []
        for part in parts(lines, TEXTS_A_REQUEST):
            answers = self._ask("read_documents", folder.absolute(), part)
            found += [each if isinstance(each, Refusal) else _document(*each) for each in answers]
        return found

    def expression_types(
        self, cases: Sequence[tuple[str, Mapping[str, TensorType]]]
    ) -> list[TensorType | Refusal]:
        """Return the types of rank expressions, given the types of the features in them."""
        found: list[TensorType | Refusal] = []
        for part in parts(cases, TEXTS_A_REQUEST):
            wire = [
                (text, {name: _java_spelled(kind) for name, kind in features.items()})
                for text, features in part
            ]
            answers = self._ask("expression_types", wire)
            found += [
                each if isinstance(each, Refusal) else TensorType.parse(spelled(each))
                for each in answers
            ]
        return found

    def _tensors(self, verb: str, cases: Sequence[Any]) -> list[Tensor | Refusal]:
        found: list[Tensor | Refusal] = []
        for part in parts(cases, TEXTS_A_REQUEST):
            found += [
                each if isinstance(each, Refusal) else decode_tensor(each)
                for each in self._ask(verb, part)
            ]
        return found


def _document(identifier: str, fields: Mapping[str, Any]) -> JavaDocument:
    values = {
        name: decode_tensor(value) if isinstance(value, bytes) else value
        for name, value in fields.items()
    }
    return JavaDocument(id=identifier, fields=values)


def parts(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of at most a size."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def package_folder(folder: Path) -> Path:
    """Return the absolute path of a folder.

    Raises:
        VespaJavaError: If there is no such folder.
    """
    if not folder.is_dir():
        raise VespaJavaError(f"{folder}: expected the folder of an application package, got none")
    return folder.absolute()


def spelled(spec: str) -> str:
    """Return the type of a number as this package spells it."""
    return "double" if spec == "tensor()" else spec


def _java_spelled(tensor_type: TensorType) -> str:
    """Return a type as Vespa spells it."""
    return "tensor()" if tensor_type.is_number else str(tensor_type)


def require_text(text: str, what: str) -> None:
    """Return nothing if Java can be given the text.

    Raises:
        VespaJavaError: If it has half a surrogate pair; the message says where.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise VespaJavaError(
            f"{what}: character {error.start} is half a surrogate pair "
            f"(U+{ord(text[error.start]):04X}), which is no text; remove it"
        ) from None
