"""Questions answered by the local ranker, which reads the application package's own schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app import Query, Schema, read_application, read_package
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.pooling import NOT_POOLED, TokenPooling
from vespa_colbert.errors import SpecError
from vespa_colbert.export import ModelFolder
from vespa_colbert.index import LocalIndex, embedded_passages, open_index
from vespa_colbert.index.lexical import plain_tokens
from vespa_colbert.index.rows import CodedRows, DocumentRows, text_tensor
from vespa_colbert.index.token_graph import GraphOptions, TokenGraph
from vespa_colbert.pipeline.candidates import (
    Finding,
    TokenSearch,
    field_graph,
    found_by_condition,
    found_by_words,
    nearest_items,
    token_search,
)
from vespa_colbert.pipeline.embed_request import index_origin, require_fed
from vespa_colbert.pipeline.onnx_models import open_onnx
from vespa_colbert.pipeline.other_models import FilledTensors, OtherModels
from vespa_colbert.pipeline.packaged_codec import coded_statement, require_codec_of
from vespa_colbert.pipeline.query import other_inputs, package_queries, query_tensors, token_inputs
from vespa_colbert.pipeline.reporter import Silent
from vespa_colbert.rank import Hit, NearestNeighbor, Ranker, RankQuery
from vespa_colbert.rank.alignment import NO_ALIGNMENT, Alignment, align, rebuilt_vectors
from vespa_colbert.rank.documents import Documents, FieldTensors, Tokenize, index_documents
from vespa_colbert.rank.expand import calls
from vespa_colbert.rank.hits import values_by_document
from vespa_colbert.tensor import CellType, Tensor

__all__ = ["MatchedToken", "Searcher", "only_schema"]

KEPT_QUESTIONS = 64
"""Questions whose token vectors are kept, for other profiles."""

AS_ASKED = Finding()
"""Documents are found as the package asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedToken:
    """A query token and the document token that answers it best.

    Attributes:
        query_token: As the vocabulary writes it.
        document_token: As the vocabulary writes it.
        value: Their dot product: this query token's part of the MaxSim.
        mean: The average of its dot products with all tokens of the document.
    """

    query_token: str
    document_token: str
    value: float
    mean: float


def only_schema(application: Path, name: str = "") -> Schema:
    """Return a schema of a package: the named one, or the only one.

    Raises:
        SpecError: If there is none of that name, or several and none is named.
        SchemaSyntaxError: If one cannot be read.
    """
    schemas = {schema.name: schema for schema in read_application(application).schemas}
    if name in schemas or (not name and len(schemas) == 1):
        return _with_fed_fields(
            schemas[name] if name else next(iter(schemas.values())), application
        )
    known = ", ".join(schemas) or "none"
    raise SpecError(f"{application}: expected one schema{f' {name}' if name else ''}, got {known}")


def _with_fed_fields(schema: Schema, application: Path) -> Schema:
    """Return the schema whose fields are fed with vectors as if Vespa embedded them itself.

    What they hold is said in the package's manifest, in the words of the indexing language.
    """
    try:
        fed = read_package(application, check=False).fed
    except SpecError:
        return schema
    made = (
        replace(each, indexing=(fed[each.name],)) if fed.get(each.name) else each
        for each in schema.fields
    )
    return replace(schema, fields=tuple(made)) if fed else schema


class _Telling(Silent):
    """A reporter that passes lines on, and no progress."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._line = say

    def say(self, text: str) -> None:
        """Pass one line on."""
        self._line(text)


def _measured_from(query: Query | None) -> tuple[NearestNeighbor, ...]:
    """Return what closeness is measured from; what it finds is found by the condition."""
    found = () if query is None else nearest_items(query.where)
    return tuple(replace(each, target_hits=0) for each in found)


def _components(tensor: Tensor) -> int:
    """Return how many components of a token vector a tensor holds."""
    packed = tensor.type.cell_type is CellType.INT8
    return tensor.type.shape[0] * (8 if packed else 1)


class Searcher:
    """An application package, an index and a model, opened together."""

    def __init__(
        self,
        application: Path,
        index: Path | LocalIndex,
        model: ModelFolder,
        *,
        threads: int = 0,
        tokenize: Tokenize = plain_tokens,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Open everything and check that it fits together.

        Args:
            application: A package; its schema is read as it stands, edits included.
            index: A local index made with this model and these fields; one in memory is taken as
                it is.
            model: The model folder.
            threads: Of ONNX Runtime; 0 for one a core.
            tokenize: Text → terms, for bm25; plain words by default.
            say: Hears of what takes long.

        Raises:
            IndexFolderError: If the index was made with another model or other fields.
            SpecError: If the package has not exactly one schema, or another codec than the index;
                or the index is pooled and Vespa's own embedder fills what it holds.
        """
        self.application = application
        self.schema = only_schema(application)
        self.index: LocalIndex = (
            open_index(index, origin=index_origin(model, self.schema))
            if isinstance(index, Path)
            else index
        )
        require_codec_of(
            self.index.origin, f"the index {self.index.path}", application, self.schema
        )
        self.pooling = TokenPooling.parse(self.index.origin.get("pooling", NOT_POOLED))
        if self.pooling.is_active:
            require_fed(self.schema, self.index.tensors)
        self._folder = index if isinstance(index, Path) else None
        self._graphs: dict[tuple[str, str, GraphOptions], TokenGraph] = {}
        self._say = say
        self._others = OtherModels(application, self.schema, threads=threads)
        self._documents = self._filled(index_documents(self.index))
        self._tokenize = tokenize
        self.embedder = LocalEmbedder(model, threads=threads)
        self._queries = package_queries(application)
        self._rankers: dict[str, Ranker] = {}
        self._kept: dict[str, TokenVectors] = {}

    def _filled(self, documents: Documents) -> Documents:
        """Return documents with the fields that other models fill, made when they are read."""
        reporter, folder = _Telling(self._say), self.index.path.parent

        def made(name: str) -> DocumentRows | FieldTensors:
            return self._others.tensors(name, self.index.documents, folder, reporter)

        if not (self._others.fields or self._others.unread):
            return documents
        return replace(documents, tensors=FilledTensors(documents.tensors, self._others, made))

    def ranker(self, profile: str) -> Ranker:
        """Return the ranker of a profile, made when first asked for."""
        if profile not in self._rankers:
            self._rankers[profile] = Ranker(
                self.schema,
                profile,
                self._documents,
                folder=self.application,
                tokenize=self._tokenize,
                open_onnx=open_onnx,
            )
        return self._rankers[profile]

    def query(self, text: str, profile: str) -> RankQuery:
        """Return a question with the tensors that a profile asks for, embedded once.

        Raises:
            SpecError: If it asks for tensors that no model of the package makes.
        """
        asked, query = self.ranker(profile).profile, self._queries.get(profile)
        tensors = dict[str, Tensor]()
        if others := other_inputs(asked):
            if query is None or not self._others.fills(query, others):
                raise SpecError(
                    f"rank profile {profile}: query({others[0]}) is filled by another model than "
                    "that of token vectors, which is not in the package; vespa-colbert rank takes "
                    "it with --query-tensor"
                )
            tensors |= self._others.query_tensors(asked, query, others, text)
        if inputs := token_inputs(asked):
            tensors |= query_tensors(inputs, self._vectors(text))
        return RankQuery(text=text, tensors=tensors, nearest=_measured_from(query))

    def _vectors(self, text: str) -> TokenVectors:
        """Return the token vectors of a question; those of the last ones are kept."""
        if text not in self._kept:
            if len(self._kept) == KEPT_QUESTIONS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[text] = self.embedder.embed(text, "query")
        return self._kept[text]

    def search(
        self, text: str, profile: str, *, hits: int = 10, finding: Finding = AS_ASKED
    ) -> list[Hit]:
        """Return the best hits of a question, best first.

        Args:
            text: The question.
            profile: Name of the rank profile.
            hits: How many.
            finding: What finds the documents that are ranked; as the package asks by default.
        """
        (found,) = self.search_all([text], profile, hits=hits, finding=finding)
        return found

    def search_all(
        self, texts: Sequence[str], profile: str, *, hits: int = 10, finding: Finding = AS_ASKED
    ) -> list[list[Hit]]:
        """Return the best hits of each question, the same as ``search`` returns for it.

        Args:
            texts: The questions.
            profile: Name of the rank profile.
            hits: How many of each.
            finding: What finds the documents that are ranked; as the package asks by default.
        """
        queries = [self.query(text, profile) for text in texts]
        return self.rank_all(queries, profile, hits=hits, finding=finding)

    def rank_all(
        self,
        queries: Sequence[RankQuery],
        profile: str,
        *,
        hits: int = 10,
        finding: Finding = AS_ASKED,
    ) -> list[list[Hit]]:
        """Return the best hits of questions that have been embedded: see ``search_all``."""
        candidates = [self.candidates(query, profile, finding) for query in queries]
        return self.ranker(profile).rank_all(queries, hits=hits, candidates=candidates)

    def candidates(
        self, query: RankQuery, profile: str, finding: Finding = AS_ASKED
    ) -> NDArray[np.int64] | None:
        """Return what finds the documents that a profile ranks; ``None`` for what it matches.

        Where the package asks by vectors the nearest are found exactly, as many as it says; Vespa's
        graph may miss some of them.
        """
        asked, ranker = self._queries.get(profile), self.ranker(profile)
        nearest = None if asked is None else asked.nearest
        if finding.by == "all":
            return ranker.documents.everything
        if finding.by == "words":
            return found_by_words(ranker, query, finding.target_hits)
        if finding.by == "query" and nearest is None:
            where = "" if asked is None else asked.where
            return found_by_condition(ranker, query, where, finding.target_hits)
        wanted = token_search(ranker, query, nearest, finding.target_hits)
        if finding.by == "graph":
            return wanted.by_graph(self._graph(wanted, finding))
        return wanted.exact(ranker, by_scan=finding.by == "scan")

    def _graph(self, wanted: TokenSearch, finding: Finding) -> TokenGraph:
        """Return the graph of a field, opened or built when first asked for."""
        as_built = replace(finding.graph, explore=1)  # which a search may choose anew
        if (key := (wanted.field, wanted.metric, as_built)) not in self._graphs:
            self._graphs[key] = field_graph(
                self.index, wanted, finding, folder=self._folder, say=self._say
            )
        return replace(self._graphs[key], options=finding.graph)

    def matched_tokens(self, text: str, profile: str, hit: Hit) -> list[MatchedToken]:
        """Return for each query token the document token that answers it, by the profile's field.

        Of a document of several texts the one that answers best is shown; of residuals the vectors
        that the profile rebuilds.

        Empty for a profile that compares no vectors, residuals that it rebuilds in a way that is
        not known, and rows that are not those of the text's tokens, as pooled ones.
        """
        names = [
            str(call.arguments[0])
            for node in self.ranker(profile).phases.values()
            for call in calls(node)
            if call.name == "attribute" and call.arguments
            if str(call.arguments[0]) in self.index.tensors
        ]
        if not names:
            return []
        asked = self.embedder.tokens(text, "query")
        found, said = self._best_text(text, self._stored_texts(names[0], profile, hit))
        return [
            MatchedToken(query_token=token, document_token=said[row], value=value, mean=mean)
            for token, row, value, mean in zip(
                asked,
                found.rows.tolist(),
                found.values.tolist(),
                found.means.tolist(),
                strict=False,
            )
        ]

    def _best_text(
        self, text: str, stored: Iterable[tuple[Tensor, str]]
    ) -> tuple[Alignment, tuple[str, ...]]:
        """Return how a question matches a document's text, the best one of several, and its tokens.

        Args:
            text: The question.
            stored: The document's vectors of each text, and the text.
        """
        made: list[tuple[Alignment, tuple[str, ...]]] = []
        for tensor, passage in stored:
            said = self.embedder.tokens(passage, "document")
            if len(said) == len(tensor.values):
                asked = self._vectors(text)[:, : _components(tensor)]
                made.append((align(asked, tensor), said))
        return max(made, key=lambda each: float(each[0].values.sum()), default=(NO_ALIGNMENT, ()))

    def _stored_texts(self, name: str, profile: str, hit: Hit) -> Iterator[tuple[Tensor, str]]:
        """Yield the vectors of each text of a hit as a profile compares them, and the text."""
        rows, fields = self.index.tensors[name], self.index.documents[hit.position].fields
        if not isinstance(rows, CodedRows):
            for place, passage in embedded_passages(self.schema, name, fields).items():
                yield text_tensor(rows, hit.position, place), passage
            return
        vectors = self._rebuilt(name, rows, profile, hit)
        try:
            passages = coded_statement(self.schema).passages(fields)
        except SpecError:
            return
        if vectors is not None and len(passages) == 1:
            yield vectors, next(iter(passages.values()))

    def _rebuilt(self, name: str, rows: CodedRows, profile: str, hit: Hit) -> Tensor | None:
        """Return the vectors that a profile rebuilds from a hit's residuals, in their order.

        ``None`` where it is not seen how it does.
        """
        ranker, source = self.ranker(profile), f"attribute({name})"
        trees = (rebuilt_vectors(node, source) for node in ranker.phases.values())
        tree = next((each for each in trees if each is not None), None)
        if tree is None:
            return None
        run = ranker.run(RankQuery(), np.array([hit.position], np.int64))
        (found,) = values_by_document(run, tree)
        if not isinstance(found, Tensor) or {*found.type.mapped} != {*rows.type.mapped}:
            return None
        place = found.type.mapped.index(rows.rows.type.mapped[0])
        order = np.argsort([int(address[place]) for address in found.addresses()])
        return Tensor.rows(found.type.without(rows.outer), found.values[order])
