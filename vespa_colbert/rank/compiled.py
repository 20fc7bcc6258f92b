"""A rank profile made ready: expressions parsed, functions put in place, files found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vespa_colbert.app.profile import Constant, OnnxModel, RankProfile
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import (
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
    VespaColbertError,
)
from vespa_colbert.rank.expand import FunctionBody, calls, expand
from vespa_colbert.rank.features.constants import read_constant_file
from vespa_colbert.rank.features.onnx import OnnxGraph, OpenOnnx
from vespa_colbert.rank.language.nodes import Call, Node
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.literal import parse_literal

__all__ = ["CompiledProfile", "compile_profile", "located"]

NORMALIZERS = ("normalize_linear", "reciprocal_rank", "reciprocal_rank_fusion")
DEFAULT_RERANK_COUNT = 100
"""Vespa's rerank-count of a second or global phase that states none."""

DEFAULT_METRIC = "euclidean"
"""Source: attribute distance-metric, Vespa 8.700.24."""

REFUSED_PROPERTIES = ("vespa.hitcollector.", "vespa.rank.", "vespa.globalphase.", "vespa.match.")
"""Properties that would overrule what the profile says."""


@dataclass(frozen=True, kw_only=True)
class CompiledProfile:
    """A profile of a schema.

    Attributes:
        schema: The schema.
        profile: The profile with everything it inherits.
        first: First phase.
        second: Second phase, if any.
        global_phase: Global phase, if any.
        match_features: Feature as written → its tree.
        summary_features: Feature as written → its tree.
        functions: Name → function.
        folder: The application package, if there is one: constants and models stand in it.
        open_onnx: Opens models.
    """

    schema: Schema
    profile: RankProfile
    first: Node
    second: Node | None
    global_phase: Node | None
    match_features: dict[str, Node]
    summary_features: dict[str, Node]
    functions: dict[str, FunctionBody]
    folder: Path | None = None
    open_onnx: OpenOnnx | None = None
    _constants: dict[str, Tensor] = field(default_factory=dict)
    _graphs: dict[str, OnnxGraph] = field(default_factory=dict)
    _trees: dict[str, Node] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Schema and profile, for messages."""
        return f"schema {self.schema.name}, profile {self.profile.name}"

    @property
    def phases(self) -> dict[str, Node]:
        """Phase → its expanded expression, for the phases that the profile has."""
        found = {
            "first-phase": self.first,
            "second-phase": self.second,
            "global-phase": self.global_phase,
        }
        return {phase: node for phase, node in found.items() if node is not None}

    @property
    def rerank_count(self) -> int:
        """How many hits the second phase ranks again: 0 without one."""
        phase = self.profile.second_phase
        if phase is None:
            return 0
        if phase.total_rerank_count is not None:
            return phase.total_rerank_count
        return DEFAULT_RERANK_COUNT if phase.rerank_count is None else phase.rerank_count

    @property
    def global_window(self) -> int:
        """How many hits the global phase ranks again: 0 without one."""
        phase = self.profile.global_phase
        if phase is None:
            return 0
        return DEFAULT_RERANK_COUNT if phase.rerank_count is None else phase.rerank_count

    def tree(self, text: str, where: str) -> Node:
        """Return an expression with the profile's functions in the place of their calls."""
        if text not in self._trees:
            with located(f"{self.where}, {where}"):
                self._trees[text] = expand(parse_expression(text), self.functions)
        return self._trees[text]

    def input_type(self, name: str) -> TensorType | None:
        """Return the type of ``query(name)``, ``None`` if it is not declared."""
        return self.profile.input_types.get(name)

    def input_default(self, name: str) -> Tensor | None:
        """Return the default of ``query(name)``, ``None`` if there is none."""
        declared = next((each for each in self.profile.inputs if each.name == name), None)
        text = declared.default if declared else ""
        text = text or self.text_property(f"query({name})") or ""
        wanted = declared.type if declared else None
        if not text:
            return None
        with located(f"{self.where}, default of query({name})"):
            return parse_literal(text, wanted)

    def text_property(self, name: str) -> str | None:
        """Return what the profile's rank-properties say of a name, the last of several."""
        return dict(self.profile.properties).get(name)

    def number_property(self, name: str) -> float | None:
        """Return a rank-property as a number.

        Raises:
            ExpressionTypeError: If it is none.
        """
        if (text := self.text_property(name)) is None:
            return None
        try:
            return float(text)
        except ValueError:
            raise ExpressionTypeError(
                f"rank-property {name}: expected a number, got {text!r} ({self.where})"
            ) from None

    def distance_metric(self, name: str) -> str:
        """Return the distance metric of an attribute."""
        fields = self.schema.all_fields
        settings = next((each.attribute for each in fields if each.name == name), ())
        pairs = (each.partition(":") for each in settings)
        stated = [value.strip() for word, _, value in pairs if word.strip() == "distance-metric"]
        return (stated or [DEFAULT_METRIC])[-1].lower().replace("_", "-")

    def constant(self, name: str) -> Tensor:
        """Return a constant, read when first asked for.

        Raises:
            UnknownFeatureError: If neither profile nor schema has it.
            UnsupportedFunctionError: If its file cannot be read here.
        """
        if name not in self._constants:
            found = self._said_constant(name)
            with located(f"{self.where}, constant({name})"):
                self._constants[name] = self._read_constant(found)
        return self._constants[name]

    def constant_type(self, name: str) -> TensorType:
        """Return the type of a constant, which is not read for it.

        Raises:
            UnknownFeatureError: If neither profile nor schema has it.
        """
        return self._said_constant(name).type

    def _said_constant(self, name: str) -> Constant:
        everything = (*self.profile.constants, *self.schema.all_constants)
        found = next((each for each in everything if each.name == name), None)
        if found is None:
            known = ", ".join(each.name for each in everything) or "none"
            raise UnknownFeatureError(
                f"constant({name}): expected a constant among {known} ({self.where})"
            )
        return found

    def _read_constant(self, constant: Constant) -> Tensor:
        if constant.value:
            return parse_literal(constant.value, constant.type)
        return read_constant_file(self._file(constant, f"constant({constant.name})"), constant.type)

    def _file(self, part: Constant | OnnxModel, feature: str) -> Path:
        """Return the file of a constant or model.

        Raises:
            UnsupportedFunctionError: If it is not in the package, or there is no package.
        """
        if not part.file or self.folder is None:
            place = part.uri or part.file or "an imported model"
            raise UnsupportedFunctionError(
                f"{feature}: {place} is not in an application package that was opened; open one "
                "with Ranker.from_application"
            )
        return self.folder / part.file

    def onnx_model(self, name: str) -> tuple[OnnxModel, OnnxGraph]:
        """Return a model and its graph, opened when first asked for.

        Raises:
            UnknownFeatureError: If neither profile nor schema has it.
            UnsupportedFunctionError: If nobody was named who runs models.
        """
        models = (*self.profile.onnx_models, *self.schema.all_onnx_models)
        model = next((each for each in models if each.name == name), None)
        if model is None:
            known = ", ".join(each.name for each in models) or "none"
            raise UnknownFeatureError(
                f"onnx({name}): expected an onnx-model among {known} ({self.where})"
            )
        if name not in self._graphs:
            if self.open_onnx is None:
                raise UnsupportedFunctionError(
                    f"onnx({name}): nothing was given to run models with (open_onnx)"
                )
            self._graphs[name] = self.open_onnx(self._file(model, f"onnx({name})"))
        return model, self._graphs[name]


def compile_profile(
    schema: Schema, name: str, *, folder: Path | None = None, open_onnx: OpenOnnx | None = None
) -> CompiledProfile:
    """Return a profile with its expressions parsed.

    Args:
        schema: Read from the .sd that Vespa will read.
        name: Name of a rank profile.
        folder: The application package.
        open_onnx: Opens models, for ``onnx(…)``.

    Raises:
        ExpressionError: If an expression does not parse; a note names profile and place.
        SpecError: If there is no such profile.
        UnsupportedFunctionError: If the profile has something that would change its hits and is
            not reproduced.
    """
    profile = schema.profile(name)
    where = f"schema {schema.name}, profile {profile.name}"
    _require_reproduced(profile, where)
    functions = {}
    for each in profile.functions:
        with located(f"{where}, {each.name}"):
            body = parse_expression(each.expression)
        functions[each.name] = FunctionBody(parameters=each.arguments, body=body)

    def tree(text: str, place: str) -> Node:
        with located(f"{where}, {place}"):
            parsed = parse_expression(text)
            _require_references(parsed, functions)
            return expand(parsed, functions)

    second, last = profile.second_phase, profile.global_phase
    return CompiledProfile(
        schema=schema,
        profile=profile,
        first=tree(profile.first_phase, "first-phase"),
        second=None if second is None else tree(second.expression, "second-phase"),
        global_phase=None if last is None else tree(last.expression, "global-phase"),
        match_features={text: tree(text, "match-features") for text in profile.match_features},
        summary_features={
            text: tree(text, "summary-features") for text in profile.summary_features
        },
        functions=functions,
        folder=folder,
        open_onnx=open_onnx,
    )


@contextmanager
def located(where: str) -> Iterator[None]:
    """Add a place to errors that come out of the block, once.

    Raises:
        VespaColbertError: As it came, with the place as a note.
    """
    try:
        yield
    except VespaColbertError as error:
        if where not in getattr(error, "__notes__", ()):
            error.add_note(where)
        raise


def _require_reproduced(profile: RankProfile, where: str) -> None:
    """Check that nothing in a profile changes hits in a way that is not reproduced.

    Raises:
        UnsupportedFunctionError: If something does.
    """
    if (diversity := profile.diversity) is not None:
        raise UnsupportedFunctionError(
            f"{where}: diversity by {diversity.attribute} is not reproduced: it leaves documents "
            "out; take it out of the profile to rank all of them"
        )
    for name, _ in profile.properties:
        if name.startswith(REFUSED_PROPERTIES):
            raise UnsupportedFunctionError(f"{where}: rank-property {name} is not reproduced")


def _require_references(node: Node, functions: dict[str, FunctionBody]) -> None:
    """Check that normalizers are given a name, as Vespa demands.

    Raises:
        ExpressionTypeError: If one is given an expression.
    """
    bodies = [node, *(each.body for each in functions.values())]
    for call in (call for body in bodies for call in calls(body)):
        if call.name not in NORMALIZERS or call.name in functions:
            continue
        names = call.arguments or ()
        for each in names if call.name == "reciprocal_rank_fusion" else names[:1]:
            if not isinstance(each, Call):
                raise ExpressionTypeError(
                    f"{call}: expected the name of a function or feature, got {each}; "
                    "put the expression into a function"
                )
