"""Questions answered by the local ranker, which reads the application package's own schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.app import Schema, read_application
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import SpecError
from vespa_colbert.export import ModelFolder
from vespa_colbert.index import LocalIndex, embedded_text, open_index
from vespa_colbert.pipeline.corpus import index_origin
from vespa_colbert.pipeline.onnx_models import open_onnx
from vespa_colbert.rank import Hit, Ranker, RankQuery
from vespa_colbert.rank.alignment import align
from vespa_colbert.rank.expand import calls
from vespa_colbert.tensor import Tensor, cells_of

__all__ = ["MatchedToken", "Searcher", "only_schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedToken:
    """A query token and the document token that answers it best.

    Attributes:
        query_token: As the vocabulary writes it.
        document_token: As the vocabulary writes it.
        value: Their dot product: this query token's part of the MaxSim.
    """

    query_token: str
    document_token: str
    value: float


def only_schema(application: Path, name: str = "") -> Schema:
    """Return a schema of a package: the named one, or the only one.

    Raises:
        SpecError: If there is none of that name, or several and none is named.
        SchemaSyntaxError: If one cannot be read.
    """
    schemas = {schema.name: schema for schema in read_application(application).schemas}
    if name in schemas:
        return schemas[name]
    if not name and len(schemas) == 1:
        return next(iter(schemas.values()))
    known = ", ".join(schemas) or "none"
    raise SpecError(f"{application}: expected one schema{f' {name}' if name else ''}, got {known}")


class Searcher:
    """An application package, an index and a model, opened together."""

    def __init__(
        self, application: Path, index: Path, model: ModelFolder, *, threads: int = 0
    ) -> None:
        """Open everything and check that it fits together.

        Args:
            application: A package; its schema is read as it stands, edits included.
            index: A local index made with this model and these fields.
            model: The model folder.
            threads: Of ONNX Runtime; 0 for one a core.

        Raises:
            IndexFolderError: If the index was made with another model or other fields.
            SpecError: If the package has not exactly one schema.
        """
        self.application = application
        self.schema = only_schema(application)
        self.index: LocalIndex = open_index(index, origin=index_origin(model, self.schema))
        self.embedder = LocalEmbedder(model, threads=threads)
        self._rankers: dict[str, Ranker] = {}
        self._last: tuple[str, TokenVectors] | None = None

    def ranker(self, profile: str) -> Ranker:
        """Return the ranker of a profile, made when first asked for."""
        if profile not in self._rankers:
            self._rankers[profile] = Ranker(
                self.schema, profile, self.index, folder=self.application, open_onnx=open_onnx
            )
        return self._rankers[profile]

    def query(self, text: str, profile: str) -> RankQuery:
        """Return a question with the tensors that a profile asks for, embedded once."""
        inputs = {
            each.name: each.type
            for each in self.ranker(profile).profile.inputs
            if not each.type.is_number and not each.default
        }
        if not inputs:
            return RankQuery(text=text)
        vectors = self._vectors(text)
        tensors = {
            name: Tensor.rows(each, cells_of(vectors, each)) for name, each in inputs.items()
        }
        return RankQuery(text=text, tensors=tensors)

    def _vectors(self, text: str) -> TokenVectors:
        """Return the token vectors of a question; the last one's are kept for the next profile."""
        if self._last is None or self._last[0] != text:
            self._last = (text, self.embedder.embed(text, "query"))
        return self._last[1]

    def search(self, text: str, profile: str, *, hits: int = 10) -> list[Hit]:
        """Return the best hits of a question, best first."""
        return self.ranker(profile).rank(self.query(text, profile), hits=hits)

    def matched_tokens(self, text: str, profile: str, hit: Hit) -> list[MatchedToken]:
        """Return for each query token the document token that answers it, by the profile's field.

        Empty for a profile that compares no tensors.
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
        vectors = self._vectors(text)
        rows = self.index.tensors[names[0]].document(hit.position)
        found = align(vectors, rows)
        fields = self.index.documents[hit.position].fields
        passage = embedded_text(self.schema, names[0], fields) or ""
        asked = self.embedder.tokens(text, "query")
        said = self.embedder.tokens(passage, "document")
        return [
            MatchedToken(query_token=token, document_token=said[row], value=float(value))
            for token, row, value in zip(asked, found.rows.tolist(), found.values, strict=False)
        ]
