"""Rank expressions of a package: read by the grammar of the ranking language, printed from trees.

The grammar is that of a later stage, so whoever has a package written hands over its parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from vespa_colbert.app.application import ApplicationSpec
from vespa_colbert.app.profile import Function, OnnxModel, RankProfile, Rerank
from vespa_colbert.app.reader import read_application
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.texts import split_features
from vespa_colbert.errors import ExpressionError, SchemaSyntaxError, SpecError, TensorTypeError
from vespa_colbert.tensor.literal import parse_literal

__all__ = ["ParseExpression", "check_printed", "with_parsed_expressions"]

ParseExpression = Callable[[str], object]
"""Text of a rank expression → its tree, which prints as an expression that means the same."""


def with_parsed_expressions(spec: ApplicationSpec, parse: ParseExpression) -> ApplicationSpec:
    """Return an application with every rank expression as its tree prints it.

    Args:
        spec: Expressions as somebody wrote them.
        parse: The parser.

    Raises:
        SpecError: With every expression, feature and literal that the grammar refuses.
    """
    printing = _Printing(parse)
    schemas = tuple(printing.schema(each) for each in spec.schemas)
    if printing.faults:
        raise SpecError(f"application {spec.name!r} is not valid", tuple(printing.faults))
    return replace(spec, schemas=schemas)


def check_printed(folder: Path, parse: ParseExpression, output: Path) -> None:
    """Return nothing if every expression in the schemas of a folder can be read.

    Templates of a user's print what they like: their text stays as it is, and must be read.

    Args:
        folder: The package, complete.
        parse: The parser.
        output: Where it is to stand, for messages.

    Raises:
        SpecError: With everything that the grammar refuses.
    """
    printing = _Printing(parse)
    try:
        for schema in read_application(folder).schemas:
            printing.schema(schema)
    except (SchemaSyntaxError, SpecError) as error:
        raise SpecError(str(error).replace(str(folder), str(output))) from error
    if printing.faults:
        raise SpecError(f"{output}: the templates print no valid schema", tuple(printing.faults))


class _Printing:
    """Prints every expression of a schema anew, and collects those that cannot be read."""

    def __init__(self, parse: ParseExpression) -> None:
        self.parse = parse
        self.faults: list[str] = []

    def schema(self, schema: Schema) -> Schema:
        """Return a schema with its expressions as their trees print them."""
        what = f"schema {schema.name}"
        models = tuple(self._model(each, what) for each in schema.onnx_models)
        profiles = tuple(self._profile(each, what) for each in schema.rank_profiles)
        if self.faults:
            return schema
        return replace(schema, onnx_models=models, rank_profiles=profiles)

    def _expression(self, text: str, what: str) -> str:
        """Return an expression as its tree prints it; nothing where there is no tree."""
        try:
            return str(self.parse(text)) if text else ""
        except ExpressionError as error:
            self.faults.append(f"{what}: {error}")
            return ""

    def _feature(self, text: str, what: str) -> str:
        """Return a rank feature as its tree prints it, without blanks between its parts."""
        parts = split_features(self._expression(text, what))
        if len(parts) > 1:
            self.faults.append(f"{what}: expected a rank feature such as bm25(title), got {text!r}")
        return "".join(parts)

    def _features(self, texts: Iterable[str], what: str) -> tuple[str, ...]:
        return tuple(self._feature(text, what) for text in texts)

    def _profile(self, profile: RankProfile, schema: str) -> RankProfile:
        what = f"{schema}, rank-profile {profile.name}"
        self._check_literals(profile, what)
        return replace(
            profile,
            functions=tuple(self._function(each, what) for each in profile.functions),
            first_phase=self._expression(profile.first_phase, f"{what}, first-phase"),
            second_phase=self._rerank(profile.second_phase, f"{what}, second-phase"),
            global_phase=self._rerank(profile.global_phase, f"{what}, global-phase"),
            match_features=self._features(profile.match_features, f"{what}, match-features"),
            summary_features=self._features(profile.summary_features, f"{what}, summary-features"),
            rank_features=self._features(profile.rank_features, f"{what}, rank-features"),
            onnx_models=tuple(self._model(each, what) for each in profile.onnx_models),
        )

    def _function(self, function: Function, what: str) -> Function:
        text = self._expression(function.expression, f"{what}, function {function.name}")
        return replace(function, expression=text)

    def _rerank(self, phase: Rerank | None, what: str) -> Rerank | None:
        if phase is None:
            return None
        return replace(phase, expression=self._expression(phase.expression, what))

    def _model(self, model: OnnxModel, what: str) -> OnnxModel:
        place = f"{what}, onnx-model {model.name}"
        inputs = ((name, self._feature(text, f"{place}, {name}")) for name, text in model.inputs)
        return replace(model, inputs=tuple(inputs))

    def _check_literals(self, profile: RankProfile, what: str) -> None:
        """Collect values of inputs and constants that are none of their types."""
        stated = [(f"input {each.name}", each.default, each.type) for each in profile.inputs]
        stated += [(f"constant {each.name}", each.value, each.type) for each in profile.constants]
        texts = {f"input {each.name}" for each in profile.inputs if each.is_text}
        for name, text, kind in stated:
            if not text or name in texts:
                continue
            try:
                parse_literal(text, kind)
            except (ExpressionError, TensorTypeError) as error:
                self.faults.append(f"{what}, {name}: {error}")
