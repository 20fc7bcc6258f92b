"""What stands in the way of an output, seen before what takes long."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vespa_colbert.errors import IndexFolderError, OutputError
from vespa_colbert.files import check_replaceable, require_file, write_lock
from vespa_colbert.index import is_index_folder
from vespa_colbert.index.manifest import read_manifest
from vespa_colbert.pipeline.embed_request import EmbedRequest, index_origin

__all__ = ["check_feed", "check_index", "check_writable"]


def check_writable(path: Path) -> None:
    """Return nothing if a file or folder can be written there; nothing is left there.

    Raises:
        OutputError: If its folder cannot be written, or another process is writing it.
    """
    made = [each for each in path.absolute().parents if not os.access(each, os.F_OK)]
    with write_lock(path):
        pass
    with contextlib.suppress(OSError):  # another process may have put something there
        for each in made:
            each.rmdir()


def check_feed(path: Path) -> None:
    """Return nothing if a feed can be written there; nothing is left there.

    Raises:
        OutputError: If no file stands there, but something, or its folder cannot be written.
    """
    try:
        require_file(path)
    except OutputError as error:
        raise OutputError(f"{error}; name another --feed") from None
    check_writable(path)


def check_index(request: EmbedRequest) -> None:
    """Return nothing if an index may take the place of what stands at its output.

    One of another model or other fields may be replaced: it is of no more use there. Residuals of
    the same vectors may not be, for want of a flag.

    Raises:
        OutputError: If that is something else, or such residuals, and no codec is named.
    """
    output = request.output
    check_replaceable(output, is_index_folder)
    if request.coded is not None:
        return
    with contextlib.suppress(IndexFolderError):
        found = read_manifest(output)
        wanted = index_origin(request.model, request.schema).items()
        if found.is_coded and wanted <= found.origin.items():
            raise OutputError(
                f"{output}: holds residuals of the same model, which vectors would replace; name "
                "their codec: --codec, or another output"
            )
