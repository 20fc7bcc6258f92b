"""The exception tree: every error a user can cause, each also the builtin a caller would catch.

Message grammar: what, expected, got, where, then one hint. Inner code raises the local fact; the
public function adds its context once.
"""

from __future__ import annotations

__all__ = [
    "ArrayError",
    "CaseError",
    "CheckpointError",
    "CollectionError",
    "DeployError",
    "ExportError",
    "ExpressionError",
    "ExpressionSyntaxError",
    "ExpressionTypeError",
    "GraphMismatchError",
    "IndexFolderError",
    "MissingExtraError",
    "MissingWeightError",
    "OutputError",
    "ParityError",
    "SchemaSyntaxError",
    "SpecError",
    "TensorTypeError",
    "TrainingDataError",
    "TrainingError",
    "UnknownFeatureError",
    "UnknownLayoutError",
    "UnsupportedFunctionError",
    "VespaColbertError",
    "VespaJavaError",
]


SHOWN, SHOWN_BEFORE = 100, 60
"""Characters of a faulty line that a message shows, and how many of them before the fault."""


class VespaColbertError(Exception):
    """Root of all errors raised on purpose by this package."""


class CheckpointError(VespaColbertError, ValueError):
    """A checkpoint folder cannot be read, or contradicts itself."""


class UnknownLayoutError(CheckpointError):
    """No known checkpoint layout fits the folder; the message lists what was tried."""


class MissingWeightError(CheckpointError):
    """A tensor that the model needs is absent, or a tensor of the file went nowhere."""


class ExportError(VespaColbertError, RuntimeError):
    """A model could not be converted, or a model folder is not what its manifest says."""


class GraphMismatchError(ExportError):
    """The exported graph disagrees with torch, or has other inputs and outputs than Vespa needs."""


class SpecError(VespaColbertError, ValueError):
    """A recipe or specification is not valid; all its faults are listed together."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        self.faults = faults
        listed = "".join(f"\n  - {fault}" for fault in faults)
        super().__init__(message + listed)


class OutputError(VespaColbertError, OSError):
    """An output path cannot be written; nothing was left under its final name."""


class CollectionError(VespaColbertError, ValueError):
    """A corpus, query or judgement file has a bad line; the message gives file and line."""


class TrainingDataError(CollectionError):
    """A file of training rows has a bad line; the message gives file and line."""


class TrainingError(VespaColbertError, RuntimeError):
    """A training run cannot begin, go on or be resumed."""


class IndexFolderError(VespaColbertError, ValueError):
    """A local index is incomplete, damaged, or was made with another model."""


class DeployError(VespaColbertError, RuntimeError):
    """An application package cannot be uploaded, or Vespa or the client that uploads it failed."""


class ArrayError(VespaColbertError, ValueError):
    """An array has the wrong shape, dtype or a value that is not finite."""


class TensorTypeError(VespaColbertError, TypeError):
    """A Vespa tensor type is not valid, or two types do not fit an operation."""


class ExpressionError(VespaColbertError, ValueError):
    """A rank expression cannot be used."""


class ExpressionSyntaxError(ExpressionError):
    """A rank expression does not parse.

    Attributes:
        source: The whole expression text.
        position: Offset of the fault, characters from 0.
    """

    def __init__(self, message: str, source: str, position: int) -> None:
        self.source = source
        self.position = max(0, min(position, len(source)))
        before = source[: self.position]
        line, column = before.count("\n") + 1, self.position - (before.rfind("\n") + 1) + 1
        text = source.split("\n")[line - 1]
        start = max(0, column - 1 - SHOWN_BEFORE)
        shown = text[start : start + SHOWN]
        super().__init__(
            f"{message} at line {line}, column {column}\n  {shown}\n  {' ' * (column - 1 - start)}^"
        )


class ExpressionTypeError(ExpressionError, TypeError):
    """The operands of a rank expression have types that do not fit."""


class UnknownFeatureError(ExpressionError, LookupError):
    """A rank expression names a feature, function or input that nothing defines."""


class UnsupportedFunctionError(ExpressionError, NotImplementedError):
    """Vespa has this construct and we do not reproduce it; it never scores 0 instead."""


class CaseError(VespaColbertError, ValueError):
    """A file of expression cases has a line that is none, or cannot be read."""


class SchemaSyntaxError(VespaColbertError, ValueError):
    """A schema file does not parse, or has something that bears on ranking and is not known."""


class ParityError(VespaColbertError, AssertionError):
    """Two judges disagree beyond the stated tolerance."""


class VespaJavaError(VespaColbertError, RuntimeError):
    """Vespa's Java code could not be run, or raised an exception of its own."""


class MissingExtraError(VespaColbertError, ImportError):
    """An optional dependency is not installed; the message is the command that installs it."""

    def __init__(self, extra: str, package: str) -> None:
        self.extra = extra
        super().__init__(
            f"{package} is needed for this and is not installed: "
            f"pip install 'vespa-colbert[{extra}]'"
        )
