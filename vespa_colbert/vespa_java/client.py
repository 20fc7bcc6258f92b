"""The judge as the rest of the package sees it: Vespa's Java code behind plain Python calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.binary import decode_tensor, encode_tensor
from vespa_colbert.vespa_java.embedder_calls import EmbedderCalls
from vespa_colbert.vespa_java.global_phase import JavaHit, NodeHit
from vespa_colbert.vespa_java.jars import Progress, fetch_jars
from vespa_colbert.vespa_java.language import (
    CASES_A_REQUEST,
    TEXTS_A_REQUEST,
    package_folder,
    parts,
    require_text,
    spelled,
)
from vespa_colbert.vespa_java.process import Worker, require_java_extra
from vespa_colbert.vespa_java.report import (
    ApplicationReport,
    ChangeReport,
    JavaQuery,
)

__all__ = ["VespaJava"]


class VespaJava(EmbedderCalls):
    """Vespa's own Java code, in a process of its own that is started when first needed.

    A context manager: the process ends with the block. A call that fails for good reason leaves it
    usable; after a crash or a timeout the next call starts a new one. One call at a time is made;
    other threads wait.

    Args:
        heap_megabytes: Most that Java's heap may take.
        timeout_seconds: Time after which a request is given up and the process stopped. A request
            is one package, or a few evaluations or texts.
        cache: Folder below which the jars are kept; the user's cache folder when absent.
        progress: Told bytes fetched and bytes to fetch while jars are fetched.
    """

    def __init__(
        self,
        *,
        heap_megabytes: int = 2048,
        timeout_seconds: float = 120.0,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.heap_megabytes, self.timeout_seconds = heap_megabytes, timeout_seconds
        self._cache, self._progress = cache, progress
        self._jars: tuple[Path, ...] = ()
        self._worker: Worker | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        """Return this, with the process starting in the background."""
        with self._lock:
            self._running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._worker is not None:
                self._worker.end()
                self._worker = None

    def versions(self) -> dict[str, str]:
        """Return what judges: the versions of Vespa, Java and ONNX Runtime."""
        return dict(self._ask("versions"))

    def validate_application(self, folder: Path) -> ApplicationReport:
        """Return what ``vespa deploy`` would say of an application package.

        Args:
            folder: The package; it is read and never written to.

        Raises:
            VespaJavaError: If there is no such folder, or Java itself fails. A package that Vespa
                refuses is no exception: its report has errors.
        """
        report: ApplicationReport = self._ask("validate", package_folder(folder))
        return report

    def compare_applications(self, old: Path, new: Path) -> ChangeReport:
        """Return what ``vespa deploy`` would say of a package where another one runs.

        Args:
            old: The package that runs.
            new: The package that is to be deployed; both are read and never written to.

        Raises:
            VespaJavaError: If there is no such folder, Vespa refuses the old package, or Java
                itself fails. A new package that is refused is no exception.
        """
        report: ChangeReport = self._ask("compare", package_folder(old), package_folder(new))
        return report

    def function_arguments(
        self, folder: Path, schema: str, profile: str, function: str
    ) -> dict[str, TensorType]:
        """Return the rank features that a function of a rank profile needs, with their types.

        Args:
            folder: An application package.
            schema: Name of the schema.
            profile: Name of the rank profile.
            function: Name of a function, or ``first-phase``, ``second-phase``, ``global-phase``.

        Raises:
            VespaJavaError: If Vespa refuses the package, or has no such function.
        """
        found = self._ask("arguments", package_folder(folder), schema, profile, function)
        return {name: TensorType.parse(spelled(spec)) for name, spec in found.items()}

    def evaluate(
        self,
        folder: Path,
        schema: str,
        profile: str,
        function: str,
        bindings: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the value of a function of a rank profile, as Vespa derives it from the package.

        Args:
            folder: An application package.
            schema: Name of the schema.
            profile: Name of the rank profile.
            function: Name of a function, or ``first-phase``, ``second-phase``, ``global-phase``.
            bindings: Value of each rank feature that the function needs, by the feature's name as
                Vespa writes it: ``query(qt)``, ``attribute(colbert)``, ``bm25(text)``. What the
                profile has a default for may be left out.

        Raises:
            VespaJavaError: If Vespa refuses the package, has no such function, or a value is
                missing, not used, or of another type than declared.
        """
        return self.evaluate_many(folder, schema, profile, function, [bindings])[0]

    def evaluate_many(
        self,
        folder: Path,
        schema: str,
        profile: str,
        function: str,
        cases: Sequence[Mapping[str, Tensor]],
    ) -> list[Tensor]:
        """Return the value of a function for each case; see :meth:`evaluate`.

        Raises:
            VespaJavaError: As for one case.
        """
        package, names = package_folder(folder), (schema, profile, function)
        values: list[Tensor] = []
        for part in parts(cases, CASES_A_REQUEST):
            wire = [_encoded(bindings) for bindings in part]
            values += [decode_tensor(data) for data in self._ask("evaluate", package, names, wire)]
        return values

    def evaluate_expression(self, expression: str, bindings: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a rank expression that stands by itself.

        Args:
            expression: In Vespa's language.
            bindings: Value of each rank feature in it, by name.

        Raises:
            VespaJavaError: If Vespa refuses it, or a feature has no value.
        """
        require_text(expression, "the expression")
        return decode_tensor(self._ask("evaluate_expression", expression, _encoded(bindings)))

    def global_phase_features(self, folder: Path, schema: str, profile: str) -> list[str]:
        """Return the match features that hits must have for a profile's global phase.

        Raises:
            VespaJavaError: If Vespa refuses the package, or there is no global phase.
        """
        found: list[str] = self._ask(
            "global_phase_features", package_folder(folder), (schema, profile)
        )
        return found

    def rerank(
        self,
        folder: Path,
        schema: str,
        profile: str,
        hits: Sequence[NodeHit],
        query: Mapping[str, Tensor] | None = None,
    ) -> list[JavaHit]:
        """Return hits after the global phase of a rank profile, as Vespa's container runs it.

        Args:
            folder: An application package.
            schema: Name of the schema.
            profile: Name of a rank profile with a global phase.
            hits: From the content nodes, with all match features that the phase needs.
            query: Value of each feature of the query, by its name as ``query(w)``.

        Raises:
            VespaJavaError: If Vespa refuses the package, there is no global phase, or a match
                feature is missing.
        """
        encoded = _encoded(query or {})
        found: list[JavaHit] = self._ask(
            "rerank",
            package_folder(folder),
            (schema, profile),
            encoded,
            [hit.encoded() for hit in hits],
        )
        return found

    def index_terms(self, texts: Sequence[str], *, stemming: str = "best") -> list[list[str]]:
        """Return the terms that Vespa's linguistics makes of English texts for an index.

        Args:
            texts: Any texts without lone surrogates.
            stemming: ``best``, as a field does that states nothing, or ``none``.

        Raises:
            VespaJavaError: If a text has half a surrogate pair.
        """
        for number, text in enumerate(texts):
            require_text(text, f"text {number}")
        found: list[list[str]] = []
        for part in parts(texts, TEXTS_A_REQUEST):
            found += self._ask("index_terms", part, stemming)
        return found

    def index_documents(
        self,
        folder: Path,
        operations: Sequence[Mapping[str, Any]],
        *,
        models: Mapping[str, Path] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the fields of each document after the indexing statements of a package were run.

        Embedders of type ``colbert-embedder`` whose files travel in the package embed; chunkers are
        Vespa's own.

        Args:
            folder: An application package.
            operations: Put operations, each ``{"put": "id:…", "fields": {…}}``.
            models: Web address → local copy, for embedders whose files are on the web.

        Returns:
            Field → its value, a tensor, a list, or a text.

        Raises:
            VespaJavaError: If Vespa refuses the package or an operation.
        """
        found: list[dict[str, Any]] = []
        for part in parts(operations, CASES_A_REQUEST):
            puts = [json.dumps([each]) for each in part]
            answers = self._ask("index", package_folder(folder), puts, dict(models or {}))
            found += [{name: _decoded(value) for name, value in each.items()} for each in answers]
        return found

    def read_query(
        self,
        folder: Path,
        parameters: Mapping[str, str],
        *,
        models: Mapping[str, Path] | None = None,
    ) -> JavaQuery:
        """Return what a container of a package makes of a request for hits.

        Query profiles, YQL and ``embed(...)`` are read and run by Vespa's own code.

        Args:
            folder: An application package.
            parameters: As in the request: ``text``, ``queryProfile``, ``yql``, ``input.query(qt)``.
            models: Web address → local copy, for embedders whose files are on the web.

        Raises:
            VespaJavaError: If Vespa refuses the package or the request.
        """
        for name, text in parameters.items():
            require_text(text, name)
        answer = self._ask(
            "read_query", package_folder(folder), dict(parameters), dict(models or {})
        )
        inputs = {name: decode_tensor(data) for name, data in answer.inputs.items()}
        return JavaQuery(yql=answer.yql, profile=answer.profile, inputs=inputs)

    def _ask(self, verb: str, *arguments: Any) -> Any:
        with self._lock:
            return self._running().ask(verb, arguments, self.timeout_seconds)

    def _running(self) -> Worker:
        if self._worker is None or not self._worker.is_usable:
            self.close()
            require_java_extra()
            self._jars = self._jars or fetch_jars(self._cache, progress=self._progress)
            self._worker = Worker(self._jars, self.heap_megabytes)
        return self._worker


def _encoded(bindings: Mapping[str, Tensor]) -> dict[str, bytes]:
    return {name: encode_tensor(tensor) for name, tensor in bindings.items()}


def _decoded(value: Any) -> Any:
    return decode_tensor(value) if isinstance(value, bytes) else value
