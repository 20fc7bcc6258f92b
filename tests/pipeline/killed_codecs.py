"""A process that forks what writes codecs and PLAID's files, and kills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.index.stored_cases import SCHEMA, document, embed
from tests.killed_processes import Target, answer
from vespa_colbert.codec import CodecOptions, ResidualCodec, read_codec, read_plaid
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.index import build_index
from vespa_colbert.pipeline.residuals import compressed_index, make_codec, plaid_index

__all__ = ["BITS", "OLD_CENTROIDS", "make_source"]

DOCUMENTS = 40
CENTROIDS, OLD_CENTROIDS = 8, 4
BITS = 1
"""PLAID takes no two bits of the eight components that these vectors have."""


def make_source(folder: Path) -> tuple[Path, Path]:
    """Return an index with float vectors, and a codec of its vectors."""
    documents = [document(f"d{place}", f"{'x' * place} of {place}") for place in range(DOCUMENTS)]
    build_index(documents, SCHEMA, embed, folder / "index", origin={"model": "m"})
    make_codec(folder / "index", folder / "codec", CodecOptions(bits=BITS, centroids=CENTROIDS))
    return folder / "index", folder / "codec"


def target(request: dict[str, Any]) -> Target:
    index, codec, output = (Path(request[name]) for name in ("index", "codec", "output"))
    if request["what"] == "codec":
        wanted = read_codec(codec)
        options = CodecOptions(bits=BITS, centroids=CENTROIDS)
        return Target(
            run=lambda: make_codec(index, output, options),
            output=output,
            state=lambda: codec_state(output, wanted),
            rerun=True,
        )
    source = compressed_index(index, codec)
    tokens = sum(map(len, source.documents()))
    return Target(
        run=lambda: plaid_index(source, output),
        output=output,
        state=lambda: plaid_state(output, tokens),
        rerun=True,
    )


def codec_state(output: Path, wanted: ResidualCodec) -> str:
    """Return ``new`` for the codec that is to be written, whole; ``old`` for that of before."""
    if not output.exists():
        return "none"
    try:
        found = read_codec(output)
    except VespaColbertError as error:
        return f"broken: {error}"
    if len(found.centroids) == OLD_CENTROIDS:
        return "old"
    same = np.array_equal(found.centroids, wanted.centroids)
    return "new" if same and np.array_equal(found.weights, wanted.weights) else "another"


def plaid_state(output: Path, tokens: int) -> str:
    """Return ``new`` for PLAID's index of all vectors; ``old`` for the one of before."""
    if not output.exists():
        return "none"
    try:
        found = read_plaid(output)
        counted = sum(map(len, found.documents()))
    except VespaColbertError as error:
        return f"broken: {error}"
    if len(found.codec.centroids) == OLD_CENTROIDS:
        return "old"
    return "new" if counted == found.tokens == tokens else f"{counted} of {tokens}"


if __name__ == "__main__":
    answer(target)
