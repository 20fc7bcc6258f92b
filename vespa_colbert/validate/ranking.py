"""The rank profiles of a package: what each of them reaches, and the types of what it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from vespa_colbert.app.profile import RankProfile
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import ExpressionError, SpecError, VespaColbertError
from vespa_colbert.rank.expand import FunctionBody, expand
from vespa_colbert.rank.features.name import read_feature_name
from vespa_colbert.rank.language.nodes import Call, Node
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.result_types import NUMBER, ResultTypes
from vespa_colbert.tensor import TensorType
from vespa_colbert.validate.names import KNOWN, used_names
from vespa_colbert.validate.written import Places, Written

__all__ = ["Parsed", "Profile", "Use", "profiles_of"]

UNTYPED = frozenset({
    "customTokenInputIds", "elementwise", "foreach", "onnx", "onnxModel", "onnx_vespa",
    "tensorFromLabels", "tensorFromLabelsWithOffset", "tensorFromStructs", "tensorFromWeightedSet",
    "tensorflow", "tokenAttentionMask", "tokenInputIds", "tokenTypeIds", "vespa",
})  # fmt: skip
"""Features whose type is not known here."""


OF_MODELS = {"onnx", "onnxModel"}


class _UntypedError(ExpressionError):
    """An expression uses something whose type is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A name that an expression uses.

    Attributes:
        call: What is used.
        written: The expression.
        maybe_dimension: Whether it may be the name of a dimension as well.
    """

    call: Call
    written: Written
    maybe_dimension: bool


@dataclass(slots=True)
class Parsed:
    """Trees of expressions, each parsed once."""

    _trees: dict[str, Node | ExpressionError] = field(default_factory=dict)
    _uses: dict[Written, tuple[Use, ...]] = field(default_factory=dict)

    def tree(self, text: str, *, strict_grouping: bool = False) -> Node:
        """Return the tree of an expression.

        Raises:
            ExpressionError: If it does not parse.
        """
        if strict_grouping:
            return parse_expression(text)
        if text not in self._trees:
            try:
                self._trees[text] = parse_expression(text, strict_grouping=False)
            except ExpressionError as error:
                self._trees[text] = error
        found = self._trees[text]
        if isinstance(found, ExpressionError):
            raise found
        return found

    def uses(self, written: Written) -> tuple[Use, ...]:
        """Return the names that an expression uses; none if it does not parse."""
        if written not in self._uses:
            try:
                calls = used_names(self.tree(written.text), written.parameters)
            except ExpressionError:
                calls = ()
            self._uses[written] = tuple(
                Use(
                    call=replace(call, output=None) if call.output == "?" else call,
                    written=written,
                    maybe_dimension=call.output == "?",
                )
                for call in calls
            )
        return self._uses[written]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A rank profile with everything it inherits, over the expressions as they were written.

    Attributes:
        schema: The schema.
        spec: The profile.
        places: What stands where.
        parsed: Trees that all profiles share.
    """

    schema: Schema
    spec: RankProfile
    places: Places
    parsed: Parsed

    @property
    def where(self) -> str:
        """Schema and profile, for messages."""
        return f"profile {self.spec.name} of schema {self.schema.name}"

    @cached_property
    def functions(self) -> dict[str, Written]:
        """Name → function, as written."""
        return {
            each.name: self._written(f"function {each.name}", each.expression, each.arguments)
            for each in self.spec.functions
        }

    @cached_property
    def roots(self) -> tuple[Written, ...]:
        """What is computed: phases and features of hits."""
        spec = self.spec
        phases = {
            "first-phase": spec.first_phase,
            "second-phase": spec.second_phase.expression if spec.second_phase else "",
            "global-phase": spec.global_phase.expression if spec.global_phase else "",
        }
        found = [self._written(part, text) for part, text in phases.items() if text]
        for part, features in (
            ("match-features", spec.match_features),
            ("summary-features", spec.summary_features),
            ("rank-features", spec.rank_features),
        ):
            found += [self._written(part, text) for text in features]
        return tuple(found)

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """Every name that is used on the way from what is computed."""
        return self.uses_from(self.roots)

    def uses_from(self, roots: Sequence[Written]) -> tuple[Use, ...]:
        """Return every name that is used on the way from some expressions."""
        found, waiting, seen = list[Use](), list(reversed(roots)), set[Written]()
        while waiting:
            written = waiting.pop()
            if written in seen:
                continue
            seen.add(written)
            for use in self.parsed.uses(written):
                found.append(use)
                if (name := self.function_of(use.call)) is not None:
                    waiting.append(self.functions[name])
                elif use.call.name in OF_MODELS:
                    waiting += self._model_inputs(use.call)
        return tuple(found)

    @cached_property
    def constants(self) -> dict[str, TensorType]:
        """Name → type of the constants, which expressions may name without ``constant(…)``."""
        return {each.name: each.type for each in self.spec.constants}

    def _model_inputs(self, call: Call) -> list[Written]:
        """Return what is put into a model, as the schema or the profile says it."""
        words = read_feature_name(call.feature_name).words()[:1]
        models = (each for each in self.spec.onnx_models if each.name in words)
        return [self._written("onnx-model", text) for each in models for _, text in each.inputs]

    def function_of(self, call: Call) -> str | None:
        """Return the function of the profile that a call means, or ``None``."""
        if call.name == "rankingExpression" and call.arguments:
            name = read_feature_name(call.feature_name).words()[0]
        else:
            name = call.name if call.output is None else ""
        return name if name in self.functions else None

    @cached_property
    def bodies(self) -> dict[str, FunctionBody]:
        """Name → function, parsed; those that do not parse are left out."""
        found = {}
        for name, written in self.functions.items():
            try:
                body = self.parsed.tree(written.text)
            except ExpressionError:
                continue
            found[name] = FunctionBody(parameters=written.parameters, body=body)
        return found

    @cached_property
    def expanded(self) -> tuple[tuple[Written, Node], ...]:
        """Functions without parameters, then what is computed, with all functions in their place.

        The shortest come first: a fault stands in the smallest expression that has it.
        """
        functions = [each for each in self.functions.values() if not each.parameters]
        found = list[tuple[Written, Node]]()
        for written in functions:
            found += self._expanded(written)
        found.sort(key=lambda each: len(str(each[1])))
        for written in self.roots:
            found += self._expanded(written)
        return tuple(found)

    @cached_property
    def types(self) -> ResultTypes:
        """Types of expanded trees."""
        return ResultTypes(self.type_of)

    def kind(self, node: Node) -> TensorType | None:
        """Return the type of a tree, ``None`` where it is not known or does not fit."""
        try:
            return self.types.of(node)
        except (VespaColbertError, RecursionError):
            return None

    def type_of(self, feature: str) -> TensorType | None:
        """Return the type of a feature.

        Raises:
            _UntypedError: If it is not known here.
        """
        name = read_feature_name(feature)
        words = name.words()
        if name.name == "query" and len(words) == 1:
            return self.spec.input_types.get(words[0], NUMBER)
        if name.name == "attribute" and words:
            return self.schema.attribute_types.get(words[0], NUMBER)
        constant = words[0] if name.name == "constant" and len(words) == 1 else feature
        if constant in self.constants:
            return self.constants[constant]
        if name.name in KNOWN - UNTYPED - {"constant"}:
            return NUMBER
        raise _UntypedError(feature)

    def fault_of_types(self, node: Node) -> str:
        """Return why the types of a tree do not fit, or an empty text."""
        try:
            self.types.of(node)
        except (_UntypedError, NotImplementedError, LookupError, RecursionError):
            return ""
        except VespaColbertError as error:
            return str(error)
        return ""

    def _written(self, part: str, text: str, parameters: tuple[str, ...] = ()) -> Written:
        return self.places.written(self.schema.name, part, text, parameters)

    def _expanded(self, written: Written) -> Iterator[tuple[Written, Node]]:
        try:
            yield written, expand(self.parsed.tree(written.text), self.bodies)
        except VespaColbertError:
            return


def profiles_of(schema: Schema, places: Places, parsed: Parsed) -> Iterator[Profile]:
    """Yield the profiles that somebody wrote, in the schema or one that it inherits."""
    for name in schema.profile_names:
        if name in {"default", "unranked"} and ("profile", schema.name, name) not in places.named:
            continue
        try:
            spec = schema.profile(name)
        except SpecError:
            continue
        yield Profile(schema=schema, spec=spec, places=places, parsed=parsed)
