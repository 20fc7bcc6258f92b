"""Scores that were computed before, in a file that outlives a kill and serves many processes.

The file is an SQLite database. A score is found by what made it: the model's identity with the
rules of sequencing, and the two texts. Each batch is written in one transaction of its own, so that
a kill loses the batch that was being computed and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from vespa_colbert.errors import OutputError

__all__ = ["ScoreCache", "pair_key"]

FORMAT = 1
APPLICATION = 0x76636F6C
"""Marks the file as one of ours: "vcol"."""
PATIENCE_SECONDS = 60.0
"""How long a process waits for another one that is writing."""
ASKED_AT_ONCE = 500
"""Keys of one question; SQLite takes 999 in its oldest releases."""
TABLE = """
CREATE TABLE IF NOT EXISTS scores (
    model TEXT NOT NULL,
    pair BLOB NOT NULL,
    logit REAL NOT NULL,
    PRIMARY KEY (model, pair)
) WITHOUT ROWID
"""


def pair_key(query: str, document: str) -> bytes:
    """Return what a pair of texts is found by: the sha256 of both, with the length of the first."""
    first, second = query.encode("utf-8"), document.encode("utf-8")
    digest = hashlib.sha256(len(first).to_bytes(8, "big"))
    digest.update(first)
    digest.update(second)
    return digest.digest()


class ScoreCache:
    """Logits by model and pair."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            OutputError: If it cannot be opened or made, is another file, or of another format.
        """
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
            self._prepare()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def get(self, model: str, pairs: Sequence[bytes]) -> dict[bytes, float]:
        """Return pair → logit of those that are known.

        Raises:
            OutputError: If the file cannot be read.
        """
        found: dict[bytes, float] = {}
        with self._explained():
            for start in range(0, len(pairs), ASKED_AT_ONCE):
                asked = pairs[start : start + ASKED_AT_ONCE]
                marks = ", ".join("?" * len(asked))
                rows = self._connection.execute(
                    f"SELECT pair, logit FROM scores WHERE model = ? AND pair IN ({marks})",  # noqa: S608 - question marks alone
                    (model, *asked),
                )
                found.update({bytes(pair): float(logit) for pair, logit in rows})
        return found

    def put(self, model: str, logits: Mapping[bytes, float]) -> None:
        """Keep logits; what another process kept first stays.

        Raises:
            OutputError: If the file cannot be written.
        """
        rows = [(model, pair, logit) for pair, logit in logits.items()]
        with self._explained(), self._transaction():
            self._connection.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?)", rows)

    def __len__(self) -> int:
        with self._explained():
            (count,) = self._connection.execute("SELECT count(*) FROM scores").fetchone()
        return int(count)

    def _prepare(self) -> None:
        """Make the table in a new file.

        Raises:
            OutputError: If the file is another database.
        """
        with self._transaction():
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            if (tables or application) and (application, found) != (APPLICATION, FORMAT):
                raise OutputError(
                    f"{self.path}: expected a score cache of format {FORMAT}, got another "
                    "database; it is left alone: choose another file"
                )
            self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
            self._connection.execute(TABLE)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of the database or of the system into one that names the file.

        Raises:
            OutputError: If there is one.
        """
        try:
            yield
        except OutputError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"{self.path}: cannot be used as a score cache ({error}); remove it if it is "
                "damaged, or choose another file: scores are computed again"
            ) from error
