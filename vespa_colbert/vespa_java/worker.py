"""The worker process: one JVM, one request after the other, until its parent goes away."""

from __future__ import annotations

import os
import shutil
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.application import Applications
from vespa_colbert.vespa_java.changes import Changes
from vespa_colbert.vespa_java.dense_embedder import DenseEmbedders
from vespa_colbert.vespa_java.documents import DocumentReader
from vespa_colbert.vespa_java.embedder import Embedders
from vespa_colbert.vespa_java.evaluator import Evaluators, evaluate_expression
from vespa_colbert.vespa_java.expressions import print_expressions
from vespa_colbert.vespa_java.global_phase import GlobalPhases
from vespa_colbert.vespa_java.indexing import Indexers
from vespa_colbert.vespa_java.jvm import java_class, message_chain, start_jvm
from vespa_colbert.vespa_java.linguistics import index_terms
from vespa_colbert.vespa_java.queries import Queries
from vespa_colbert.vespa_java.tensor_forms import TENSOR_FORMS

__all__ = ["Answer", "Request", "WorkerSettings", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is started with.

    Attributes:
        jars: The class path.
        scratch: Folder of this worker; it removes it when its parent dies.
        heap_megabytes: Most that Java's heap may take.
    """

    jars: tuple[Path, ...]
    scratch: Path
    heap_megabytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call.

    Attributes:
        verb: Name of the call.
        arguments: Its arguments by position.
    """

    verb: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a call.

    Attributes:
        value: The result, if there is no fault.
        fault: Why there is none.
        is_fatal: Whether the worker must not be used any more.
    """

    value: Any = None
    fault: str | None = None
    is_fatal: bool = False


def main(request_handle: int, lifeline: int) -> None:
    """Serve requests until the connection ends.

    Args:
        request_handle: File descriptor of the connection that carries requests and answers.
        lifeline: File descriptor that ends when the parent is gone, however it went.
    """
    connection = Connection(request_handle)
    settings: WorkerSettings = connection.recv()
    watcher = threading.Thread(
        target=_outlive_nobody, args=(lifeline, settings.scratch), daemon=True
    )
    watcher.start()
    calls: dict[str, Callable[..., Any]] = {}
    try:
        start_jvm(settings.jars, settings.scratch, settings.heap_megabytes)
        calls = _calls(settings.scratch)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        connection.send(Answer(fault=f"Java did not start: {error}", is_fatal=True))
        return
    connection.send(Answer())
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            watcher.join()
            return
        connection.send(_answer(calls, request))


def _outlive_nobody(lifeline: int, scratch: Path) -> None:
    """End this process when the parent is gone, even in the middle of a call into Java.

    Not through Java's own exit, which would wait for its threads.
    """
    os.read(lifeline, 1)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _calls(scratch: Path) -> dict[str, Callable[..., Any]]:
    applications = Applications(scratch)
    evaluators, embedders = Evaluators(applications), Embedders(applications)
    global_phases = GlobalPhases(applications)
    return {
        "validate": applications.validate,
        "compare": Changes(applications).compare,
        "arguments": evaluators.arguments,
        "evaluate": evaluators.evaluate,
        "evaluate_expression": evaluate_expression,
        "print_expressions": print_expressions,
        "embed": embedders.embed,
        "text_vectors": DenseEmbedders(applications).embed,
        "index": Indexers(applications, embedders).index,
        "global_phase_features": global_phases.features,
        "rerank": global_phases.rerank,
        "read_query": Queries(applications, embedders).read,
        "index_terms": index_terms,
        "read_documents": DocumentReader(applications).read,
        "versions": _versions,
        **TENSOR_FORMS,
    }


def _answer(calls: dict[str, Callable[..., Any]], request: Request) -> Answer:
    throwable = java_class("java.lang.Throwable")
    try:
        return Answer(value=calls[request.verb](*request.arguments))
    except VespaJavaError as error:
        return Answer(fault=str(error))
    except throwable as error:
        return _java_fault(error)
    except Exception:  # noqa: BLE001 - a fault of our own; the worker itself is sound
        return Answer(fault=f"the worker failed:\n{traceback.format_exc()}")


def _java_fault(error: Any) -> Answer:
    text = "; caused by: ".join(message_chain(error))
    if isinstance(error, java_class("java.lang.OutOfMemoryError")):
        return Answer(fault=f"Java ran out of memory ({text}); raise heap_megabytes", is_fatal=True)
    # After any other error of the machine itself it may give wrong answers.
    broken = isinstance(error, java_class("java.lang.VirtualMachineError"))
    too_deep = isinstance(error, java_class("java.lang.StackOverflowError"))
    return Answer(fault=text, is_fatal=broken and not too_deep)


def _versions() -> dict[str, str]:
    system = java_class("java.lang.System")
    environment = java_class("ai.onnxruntime.OrtEnvironment").getEnvironment()
    return {
        "vespa": str(java_class("com.yahoo.component.Vtag").currentVersion.toFullString()),
        "java": str(system.getProperty("java.runtime.version")),
        "onnxruntime": str(environment.getVersion()),
    }
