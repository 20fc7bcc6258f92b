"""Vespa's own command line client: found, checked, run with its exit status respected."""

from __future__ import annotations

import base64
import logging
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vespa_colbert.errors import DeployError, MissingExtraError
from vespa_colbert.files import digest_file

__all__ = ["VespaCli", "find_vespa_cli"]

logger = logging.getLogger(__name__)

DISTRIBUTION = "vespacli"
SECONDS_TO_END = 5.0
"""How long the client may take to end when it is asked to, before it is killed."""

SECONDS_TO_ANSWER = 20.0
"""For what it knows without asking a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VespaCli:
    """The client.

    Attributes:
        path: The program.
        is_verified: Whether its sha256 is the one that its wheel lists; a program from elsewhere
            is not checked.
    """

    path: Path
    is_verified: bool

    def setting(self, name: str) -> str:
        """Return what the user has set for a flag with ``vespa config set``, or empty.

        Raises:
            DeployError: If the program cannot be run.
        """
        command = [str(self.path), "config", "get", name]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeployError(f"{self.path}: the vespa CLI cannot be run ({error})") from error
        value = ran.stdout.partition("=")[2].strip()
        return "" if ran.returncode or value == "<unset>" else value

    def run(
        self, arguments: Sequence[str], *, deadline_seconds: float, output: TextIO | None = None
    ) -> int:
        """Return the client's exit status; what it says goes to our stdout and stderr as it comes.

        It is ended with us: at the deadline, by an interrupt, by any error.

        Args:
            arguments: Its arguments.
            deadline_seconds: When to give up.
            output: Where its stdout goes instead of ours.

        Raises:
            DeployError: If it cannot be run or is not done at the deadline.
        """
        command = [str(self.path), *arguments]
        logger.info("running %s", " ".join(command))
        try:
            child = subprocess.Popen(command, stdout=output)
        except OSError as error:
            raise DeployError(
                f"{self.path}: the vespa CLI cannot be run ({error.strerror})"
            ) from error
        try:
            return child.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            raise DeployError(
                f"the vespa CLI was not done after {deadline_seconds:g} seconds and was stopped; "
                "whether the package was taken is not known: see `vespa status deployment`, or "
                "allow more time with --deadline"
            ) from None
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process, by force if it does not listen."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def find_vespa_cli(given: Path | None = None) -> VespaCli:
    """Return the client to use: the one given, that of the package vespacli, or one on the PATH.

    The command ``vespa`` that vespacli installs is never used: it succeeds whatever the client
    does. The client behind it is run itself.

    Args:
        given: The program, if the user names one.

    Raises:
        DeployError: If there is no such program, it is vespacli's command, or its bytes are not
            those that its wheel lists.
        MissingExtraError: If there is none at all.
    """
    if given is not None:
        return VespaCli(path=_program(given), is_verified=False)
    if (packaged := _packaged()) is not None:
        return packaged
    if (found := shutil.which("vespa")) is not None:
        return VespaCli(path=_program(Path(found)), is_verified=False)
    raise MissingExtraError("deploy", DISTRIBUTION)


def _program(path: Path) -> Path:
    """Return the path of a program that says truly whether it failed.

    Raises:
        DeployError: If there is none, or it is vespacli's command.
    """
    found = shutil.which(path.absolute())
    if found is None:
        raise DeployError(f"{path}: expected the vespa CLI, a program; there is none")
    with Path(found).open("rb") as stream:
        start = stream.read(1024)
    if start.startswith(b"#!") and re.search(rb"^(from|import) vespacli\b", start, re.MULTILINE):
        raise DeployError(
            f"{path}: this is vespacli's command, which exits 0 when the client fails; leave "
            "--vespa-cli out to run the client behind it"
        )
    return Path(found)


def _packaged() -> VespaCli | None:
    """Return the client that the package vespacli brings, or nothing where it is not installed.

    Raises:
        DeployError: If it has no client for this machine, or a changed one.
    """
    try:
        import vespacli
    except ImportError:
        return None
    try:
        path = Path(vespacli.get_binary_path())
    except OSError as error:
        raise DeployError(f"vespacli has no client for this machine ({error})") from error
    wanted = _listed_sha256(path)
    if wanted is None:
        logger.warning("%s: its wheel lists no sha256; it was not checked", path)
        return VespaCli(path=path, is_verified=False)
    if (got := digest_file(path).sha256) != wanted:
        raise DeployError(
            f"{path}: expected sha256 {wanted[:12]}… as its wheel lists, got {got[:12]}…; "
            "install vespacli again"
        )
    return VespaCli(path=path, is_verified=True)


def _listed_sha256(path: Path) -> str | None:
    """Return the sha256 that the installed wheel's RECORD lists for a file, if it does.

    The sums file among vespacli's binaries is of the archives they came in, which it leaves out.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        listed = files(DISTRIBUTION) or []
    except PackageNotFoundError:
        return None
    for each in listed:
        if each.name == path.name and Path(str(each.locate())).resolve() == path.resolve():
            if each.hash is None or each.hash.mode != "sha256":
                return None
            padded = each.hash.value + "=" * (-len(each.hash.value) % 4)
            return base64.urlsafe_b64decode(padded).hex()
    return None
