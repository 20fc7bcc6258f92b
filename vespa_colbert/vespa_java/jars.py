"""The pinned jars: fetched once from Maven Central, checked by sha256 before they are used."""

from __future__ import annotations

import http.client
import os
import pwd
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from vespa_colbert.errors import MissingExtraError, OutputError, VespaJavaError
from vespa_colbert.files import FileDigest, atomic_file, digest_file

__all__ = ["VESPA_VERSION", "Jar", "cache_folder", "fetch_jars", "maven_central", "read_lock"]

VESPA_VERSION = "8.700.24"
"""The Vespa release that judges: the newest whose artifacts are all on Maven Central."""

LOCK_FILE = "jars.lock"
CACHE_VARIABLE, MAVEN_VARIABLE = "VESPA_COLBERT_CACHE", "VESPA_COLBERT_MAVEN"

THREADS = 6
ATTEMPTS = 4
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; doubled each time."""
TIMEOUT = 60.0
"""Seconds without a byte after which an attempt counts as failed."""
CHUNK_BYTES = 1 << 18
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be another one the next time."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told bytes done and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One line of the lock.

    Attributes:
        coordinate: ``group:artifact:version`` or ``group:artifact:version:classifier``.
        sha256: Lower-case hex digest.
        size: Bytes.
    """

    coordinate: str
    sha256: str
    size: int

    @property
    def path(self) -> str:
        """Where the jar stands in a Maven repository, and likewise in the cache."""
        group, artifact, version, *classifier = self.coordinate.split(":")
        name = "-".join([artifact, version, *classifier])
        return f"{group.replace('.', '/')}/{artifact}/{version}/{name}.jar"


def read_lock() -> tuple[Jar, ...]:
    """Return the jars that this package was tested with, in class path order."""
    text = files("vespa_colbert.vespa_java").joinpath(LOCK_FILE).read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Jar(coordinate=row[0], sha256=row[1], size=int(row[2])) for row in rows)


def cache_folder() -> Path:
    """Return the folder for what is fetched once: of the variable, of XDG, or below home.

    Raises:
        VespaJavaError: If none of them says where.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).absolute()
    if (chosen := os.environ.get("XDG_CACHE_HOME")) and Path(chosen).is_absolute():
        return Path(chosen) / "vespa-colbert"
    try:
        home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise VespaJavaError(
            f"user {os.getuid()} has no home folder: set {CACHE_VARIABLE} to a folder for the jars"
        ) from None
    return Path(home) / ".cache" / "vespa-colbert"


def maven_central() -> str:
    """Return the address of Maven Central as jgo, the resolver that made the lock, knows it.

    Raises:
        MissingExtraError: If jgo is not installed.
    """
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
    except ModuleNotFoundError as error:
        raise MissingExtraError("java", "jgo") from error
    return f"{MAVEN_CENTRAL_URL}/"


def fetch_jars(cache: Path | None = None, *, progress: Progress | None = None) -> tuple[Path, ...]:
    """Return the paths of all pinned jars; those missing or changed are fetched first.

    Args:
        cache: Folder below which ``jars/`` is kept; :func:`cache_folder` when absent.
        progress: Told the bytes fetched and the bytes to fetch; not called if nothing is missing.

    Raises:
        VespaJavaError: If a jar cannot be fetched, or is not the pinned one; it names the jar.
    """
    folder = (cache or cache_folder()) / "jars"
    lock = read_lock()
    with ThreadPoolExecutor(THREADS) as threads:
        present = threads.map(lambda jar: _is_pinned(jar, folder / jar.path), lock)
        missing = [jar for jar, is_pinned in zip(lock, present, strict=True) if not is_pinned]
    if missing:
        _Fetch(folder, missing).run(progress)
    return tuple(folder / jar.path for jar in lock)


def _is_pinned(jar: Jar, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != jar.size:
        return False
    return digest_file(path).sha256 == jar.sha256


def _require_pinned(jar: Jar, path: Path) -> None:
    """Return nothing if a file is the pinned jar.

    Raises:
        ValueError: If it is not.
    """
    if (got := digest_file(path)) != FileDigest(sha256=jar.sha256, size=jar.size):
        raise ValueError(
            f"expected {jar.size} bytes with sha256 {jar.sha256[:12]}…, "
            f"got {got.size} bytes with sha256 {got.sha256[:12]}…"
        )


class _Fetch:
    """One download of several jars by several threads, told about from the calling thread."""

    def __init__(self, folder: Path, jars: list[Jar]) -> None:
        self.folder, self.jars = folder, jars
        self.base = os.environ.get(MAVEN_VARIABLE) or maven_central()
        if not self.base.startswith(("https://", "http://")):
            raise VespaJavaError(f"{MAVEN_VARIABLE}: expected an http(s) address, got {self.base}")
        self.tls = ssl.create_default_context()
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.done = 0

    def run(self, progress: Progress | None) -> None:
        """Return when all jars are there.

        Raises:
            VespaJavaError: The first failure; the other downloads are given up.
        """
        total = sum(jar.size for jar in self.jars)
        # The largest first, so that none of them is left for the end.
        ordered = sorted(self.jars, key=lambda jar: -jar.size)
        threads = ThreadPoolExecutor(THREADS)
        try:
            pending: set[Future[None]] = {threads.submit(self.fetch, jar) for jar in ordered}
            while pending:
                finished, pending = wait(pending, timeout=0.2)
                if progress is not None:
                    progress(min(self.done, total), total)
                for each in finished:
                    each.result()
        finally:
            self.stopped.set()
            threads.shutdown(cancel_futures=True)

    def fetch(self, jar: Jar) -> None:
        """Return when the jar stands under its name.

        Raises:
            VespaJavaError: If every attempt failed; it names the jar, the address and the cause.
            OutputError: If the cache cannot be written.
        """
        url = self.base.rstrip("/") + "/" + jar.path
        cause: Exception | str = "stopped"
        for attempt in range(ATTEMPTS):
            if attempt and self.stopped.wait(FIRST_PAUSE * 2 ** (attempt - 1)):
                break
            try:
                self.download(url, jar)
            except OutputError:
                raise
            except urllib.error.HTTPError as error:
                cause = error
                error.close()
                if error.code not in PASSING_STATUS:
                    break
            except (http.client.HTTPException, OSError, ValueError) as error:
                cause = error
            else:
                return
        raise VespaJavaError(
            f"{jar.coordinate}: could not be fetched from {url} ({cause}); check the network, or "
            f"set {MAVEN_VARIABLE} to a mirror of Maven Central"
        ) from (cause if isinstance(cause, Exception) else None)

    def download(self, url: str, jar: Jar) -> None:
        """Write one jar, checked before it gets its name."""
        counted = 0
        try:
            with (
                atomic_file(self.folder / jar.path) as part,
                # The scheme was looked at in __init__.
                urllib.request.urlopen(url, timeout=TIMEOUT, context=self.tls) as answer,  # noqa: S310
            ):
                with part.open("wb") as stream:
                    while not self.stopped.is_set() and (chunk := answer.read(CHUNK_BYTES)):
                        stream.write(chunk)
                        counted += len(chunk)
                        self.count(len(chunk))
                _require_pinned(jar, part)
        except BaseException:
            self.count(-counted)
            raise

    def count(self, size: int) -> None:
        """Add to the bytes done; what a failed attempt brought is taken away again."""
        with self.lock:
            self.done += size
