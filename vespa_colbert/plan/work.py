"""What a query costs: the MaxSims of each phase of each rank profile, for one document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vespa_colbert.app.profile import RankProfile, Rerank
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import SpecError, VespaColbertError
from vespa_colbert.plan.kernel import (
    GLOBAL_REASON,
    Verdict,
    inline_functions,
    kernel_of,
    operands_of,
)
from vespa_colbert.plan.shared import SharedProducts, as_shared, looked_up, vectors_of
from vespa_colbert.rank.centroids import Chosen, as_chosen
from vespa_colbert.rank.compiled import DEFAULT_RERANK_COUNT
from vespa_colbert.rank.expand import FunctionBody, calls, expand
from vespa_colbert.rank.language.nodes import Embraced, Node, children
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.residuals import as_rebuilt
from vespa_colbert.rank.result_types import ResultTypes
from vespa_colbert.rank.shapes import (
    MaxSim,
    Similarity,
    as_max_sim,
    as_reduction,
    as_short_reduction,
)
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["MaxSimWork", "PhaseWork", "ProfileWork", "Tokens", "profile_work"]

NUMBER = TensorType(CellType.DOUBLE)
GLOBAL = "global-phase"
WEIGHED, NORMALIZED = 2, 3
"""Operations of a component that is rebuilt: the weight of its bucket, the sum with its centroid;
then a square, its sum, and the quotient.
"""

LOOKED_UP = 2
"""Operations of a query token and a document token whose product with a centroid is there: it is
looked up, and it is the best so far or not; or it is looked up and added to another product.
"""

CHOSEN_REASON = "a product is looked up for each token, which no kernel does"

DEFAULT_HITS = 10
"""Hits that a query asks for which states no number. Source: Query, Vespa 8.700.24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """How long texts are, in tokens.

    Attributes:
        document: Token vectors of a document, on average.
        query: Token vectors of a query.
        of_field: Field → token vectors of a document, where they were counted.
    """

    document: float
    query: int
    of_field: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxSimWork:
    """One MaxSim.

    Attributes:
        expression: As printed, functions in the place of their calls.
        similarity: How tokens are compared.
        document_tokens: Vectors of a document.
        query_tokens: Vectors of the query.
        width: Cells of a vector that are compared: bytes for Hamming; 0 where products are looked
            up and nothing is compared.
        verdict: Whether a kernel evaluates it.
        rebuilt: Operations that rebuild a vector of the document from its residual, or that read
            its cells to see that it is there; 0 where it is compared as it is stored.
        shared: Products that each token looks up, if it does.
    """

    expression: str
    similarity: Similarity
    document_tokens: float
    query_tokens: int
    width: int
    verdict: Verdict
    rebuilt: float = 0.0
    shared: SharedProducts | None = None

    @property
    def operations(self) -> float:
        """Operations for one document: a product and a sum for each cell of each pair.

        For Hamming an exclusive or and a count of bits for each byte. What rebuilds vectors is
        counted once for all query tokens. Products that are looked up count where they are made for
        each document.
        """
        compared = self.query_tokens * (self.width * 2 + (LOOKED_UP if self.shared else 0))
        made = self.shared.operations if self.shared and not self.shared.is_once else 0.0
        return self.document_tokens * (compared + self.rebuilt) + made


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseWork:
    """One phase of a profile.

    Attributes:
        phase: ``first-phase``, ``second-phase``, ``match-features`` or ``global-phase``.
        max_sims: Those in its expressions, each once.
        count: Hits that it is for, on each node; ``None`` for all that match.
        is_total: Whether the count is that of all nodes together.
    """

    phase: str
    max_sims: tuple[MaxSimWork, ...]
    count: int | None = None
    is_total: bool = False

    @property
    def operations(self) -> float:
        """Operations of its MaxSims for one document."""
        return sum(each.operations for each in self.max_sims)

    @property
    def operations_once(self) -> float:
        """Operations for all documents together, which each thread does."""
        shared = (each.shared for each in self.max_sims)
        found = {each.expression: each.operations for each in shared if each and each.is_once}
        return sum(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileWork:
    """One rank profile.

    Attributes:
        schema: Name of the schema.
        name: Name of the profile.
        phases: Those that hold a MaxSim.
        fault: Why it could not be read, else empty.
    """

    schema: str
    name: str
    phases: tuple[PhaseWork, ...] = ()
    fault: str = ""


def profile_work(
    schema: Schema, name: str, tokens: Tokens, vectors: Mapping[str, int] | None = None
) -> ProfileWork:
    """Return what the phases of a profile compute for one document.

    A profile that cannot be read is no exception: its fault says why.

    Args:
        schema: The schema.
        name: Name of the profile.
        tokens: How long texts are.
        vectors: Name of a constant → how many vectors it has, where it is known.
    """
    try:
        profile = schema.profile(name)
        reading = _Reading(schema, profile, tokens, vectors or {})
        phases = tuple(each for each in reading.phases() if each.max_sims)
    except VespaColbertError as error:
        return ProfileWork(schema=schema.name, name=name, fault=str(error).split("\n")[0])
    return ProfileWork(schema=schema.name, name=name, phases=phases)


class _Reading:
    """A profile being read."""

    def __init__(
        self, schema: Schema, profile: RankProfile, tokens: Tokens, vectors: Mapping[str, int]
    ) -> None:
        self.profile, self.tokens, self.vectors = profile, tokens, vectors
        self.inline = inline_functions(profile)
        self.attributes = schema.attribute_types
        constants = (*schema.all_constants, *profile.constants)
        self.known = {f"constant({each.name})": each.type for each in constants}
        self.known |= {f"query({name})": kind for name, kind in profile.input_types.items()}
        self.known |= {f"attribute({name})": kind for name, kind in self.attributes.items()}
        self.types = ResultTypes(lambda name: self.known.get(name, NUMBER))
        self.functions = {
            each.name: FunctionBody(
                parameters=each.arguments, body=parse_expression(each.expression)
            )
            for each in profile.functions
        }

    def phases(self) -> Iterator[PhaseWork]:
        """Yield the phases that the profile has."""
        profile = self.profile
        yield self._phase("first-phase", Rerank(expression=profile.first_phase))
        if profile.second_phase is not None:
            yield self._phase("second-phase", profile.second_phase)
        last = profile.global_phase
        if profile.match_features:
            returned = DEFAULT_HITS if last is None else max(_window(GLOBAL, last)[0] or 0, 1)
            found = self._found("match-features", profile.match_features, self.functions)
            yield PhaseWork(phase="match-features", max_sims=found, count=returned)
        if last is not None:
            yield self._phase(GLOBAL, last)

    def _phase(self, name: str, said: Rerank) -> PhaseWork:
        functions = self.functions
        if name == GLOBAL:
            # What is a match feature comes with the hit from the content node.
            sent = set(self.profile.match_features)
            functions = {each: body for each, body in functions.items() if each not in sent}
        count, is_total = _window(name, said)
        return PhaseWork(
            phase=name,
            max_sims=self._found(name, (said.expression,), functions),
            count=count,
            is_total=is_total,
        )

    def _found(
        self, phase: str, texts: tuple[str, ...], functions: Mapping[str, FunctionBody]
    ) -> tuple[MaxSimWork, ...]:
        """Return the MaxSims of expressions, each once."""
        found: dict[str, MaxSimWork] = {}
        for text in texts:
            tree = expand(parse_expression(text), functions)
            for node, chunk in _max_sims(tree, None, self.inline):
                is_global = phase == GLOBAL
                chosen = as_chosen(node)
                if chosen is None:
                    work = self._max_sim(node, chunk, is_global=is_global)
                else:
                    work = self._chosen(node, chosen, is_global=is_global)
                found.setdefault(work.expression, work)
        return tuple(found.values())

    def _max_sim(self, node: Node, chunk: str | None, *, is_global: bool) -> MaxSimWork:
        shape = _shape(node)
        operands = operands_of(shape, self.types.of)
        verdict = kernel_of(node, shape, operands, self.profile, chunk)
        if is_global:
            verdict = Verdict(reason=GLOBAL_REASON)
        component = operands.document.dimension(shape.component)
        shared = self._shared(node, is_global=is_global)
        return MaxSimWork(
            expression=str(node),
            similarity=shape.similarity,
            document_tokens=self._document_tokens(
                (shape.left, shape.right), operands.document, shape.component
            ),
            query_tokens=_vectors(operands.query, shape.component, self.tokens.query),
            width=(component.size if component else None) or 1,
            verdict=verdict,
            rebuilt=self._rebuilt(shape, operands.document, is_added=shared is None),
            shared=shared,
        )

    def _chosen(self, node: Node, chosen: Chosen, *, is_global: bool) -> MaxSimWork:
        """Return the work of a MaxSim whose tokens look up all that is compared.

        Raises:
            SpecError: If it is not known how many products there are, or of what.
        """
        if (shared := self._shared(node, is_global=is_global)) is None:
            raise SpecError(
                f"{node}: its work is not counted; expected sum(query(name) * constant(name), x) "
                "as what tokens look up"
            )
        stored = self.known.get(chosen.attribute, NUMBER)
        present = parse_expression(chosen.attribute)
        return MaxSimWork(
            expression=str(node),
            similarity=Similarity.PRODUCT,
            document_tokens=self._document_tokens((present,), stored, ""),
            query_tokens=shared.query_tokens,
            width=0,
            verdict=Verdict(reason=GLOBAL_REASON if is_global else CHOSEN_REASON),
            rebuilt=math.prod(stored.shape),
            shared=shared,
        )

    def _shared(self, node: Node, *, is_global: bool) -> SharedProducts | None:
        """Return the products that tokens look up; ``None`` where they are not recognised.

        Source: HitRescorer.rescoreHit, Vespa 8.700.24: all is evaluated for each hit by itself.
        """
        products = looked_up(node)
        found = None if products is None else as_shared(products, self.inline)
        if products is None or found is None:
            return None
        constant, query = self.types.of(found.constant), self.types.of(found.query)
        component = query.dimension(found.component)
        count = vectors_of(found.constant, self.vectors) if constant.mapped else 1
        return SharedProducts(
            expression=str(products),
            query_tokens=_vectors(query, found.component, self.tokens.query),
            vectors=_vectors(constant, found.component, count),
            width=(component.size if component else None) or 1,
            is_once=found.is_once and not is_global,
        )

    def _rebuilt(self, shape: MaxSim, document: TensorType, *, is_added: bool) -> float:
        """Return the operations that rebuild a vector: of each bit, and of each component.

        Args:
            shape: The MaxSim.
            document: Type of what is rebuilt.
            is_added: Whether the centroid is added to it, and not its product to the products.
        """
        sides = (as_rebuilt(each, shape.component) for each in (shape.left, shape.right))
        if (found := next((each for each in sides if each is not None), None)) is None:
            return 0.0
        stored = self.attributes.get(found.attribute[len("attribute(") : -1])
        component = document.dimension(shape.component)
        if stored is None or component is None or component.size is None:
            return 0.0
        weighed = WEIGHED if is_added else WEIGHED - 1
        of_component = weighed + (NORMALIZED if found.is_normalized else 0)
        return 8.0 * math.prod(stored.shape) + component.size * of_component

    def _document_tokens(self, sides: tuple[Node, ...], kind: TensorType, component: str) -> float:
        """Return the vectors of a document: counted ones if one field with a count is compared.

        Args:
            sides: What is compared.
            kind: Type of the document's side.
            component: Dimension of its components.
        """
        names = {
            each.feature_name[len("attribute(") : -1]
            for side in sides
            for each in calls(side)
            if each.name == "attribute"
        }
        counted = [self.tokens.of_field[name] for name in names & self.tokens.of_field.keys()]
        of_document = counted[0] if len(counted) == 1 else self.tokens.document
        if kind.mapped:
            return of_document
        return _vectors(kind, component, 1)


def _shape(node: Node) -> MaxSim:
    """Return what was found to be a MaxSim.

    Raises:
        ValueError: If it is none.
    """
    if (shape := as_max_sim(node)) is None:
        raise ValueError(f"{node}: not a MaxSim")
    return shape


def _vectors(kind: TensorType, component: str, mapped: int) -> int:
    """Return the vectors of a tensor: sizes of its other dimensions, ``mapped`` for labels."""
    others = [each for each in kind.dimensions if each.name != component]
    return _product(others) * (mapped if kind.mapped else 1)


def _product(dimensions: list[Dimension]) -> int:
    return math.prod(each.size or 1 for each in dimensions)


def _max_sims(node: Node, chunk: str | None, inline: set[str]) -> Iterator[tuple[Node, str | None]]:
    """Yield each MaxSim of a tree with the dimension of a ``max`` right around it."""
    if isinstance(node, Embraced):
        is_cut = node.function is not None and node.function not in inline
        yield from _max_sims(node.inner, None if is_cut else chunk, inline)
        return
    if as_max_sim(node) is not None or as_chosen(node) is not None:
        yield node, chunk
        return
    around = as_reduction(node) or as_short_reduction(node)
    is_best = around is not None and around.aggregator == "max" and len(around.dimensions) == 1
    inner = around.dimensions[0] if around is not None and is_best else None
    for child in children(node):
        yield from _max_sims(child, inner, inline)


def _window(phase: str, said: Rerank) -> tuple[int | None, bool]:
    """Return how many hits a phase ranks, and whether all nodes together do.

    Source: PhasedRanking and RankProfile.getRerankCount, Vespa 8.700.24.
    """
    if phase == "first-phase":
        return None, False
    if phase == "second-phase" and said.total_rerank_count is not None:
        return said.total_rerank_count, True
    count = DEFAULT_RERANK_COUNT if said.rerank_count is None else said.rerank_count
    return count, phase == GLOBAL
