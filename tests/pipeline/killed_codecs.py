"""A process that forks what writes codecs and PLAID's files, and kills it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.embedder.tiny_embedder import SPEC
from tests.index.stored_cases import SCHEMA, document, embed
from tests.killed_processes import Target, answer
from vespa_colbert.app import AppOptions, application_spec, published_embedder, render_app
from vespa_colbert.app.component import RemoteFile
from vespa_colbert.app.residual_vectors import read_residual_vectors
from vespa_colbert.codec import CodecOptions, ResidualCodec, read_codec, read_plaid
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.index import all_faults, build_index, open_index
from vespa_colbert.pipeline.coded_index import write_coded_index
from vespa_colbert.pipeline.compressed_index import compressed_index
from vespa_colbert.pipeline.packaged_codec import codec_origin
from vespa_colbert.pipeline.residuals import make_codec, plaid_index
from vespa_colbert.rank import parse_expression

__all__ = ["BITS", "OLD_CENTROIDS", "make_package", "make_source", "write_index_of"]

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


def make_package(codec: Path) -> Path:
    """Return a package with the codec of a folder, which stands beside it."""
    files = [RemoteFile(url=f"https://m.example/{name}") for name in ("m.onnx", "t.json")]
    embedder = published_embedder(replace(SPEC, dim=8), transformer=files[0], tokenizer=files[1])
    spec = application_spec(embedder, AppOptions(residual=read_residual_vectors(codec)))
    return render_app(spec, codec.with_name(f"{codec.name}-app"), parse=parse_expression).path


def write_index_of(index: Path, codec: Path, output: Path) -> None:
    """Write the index of residuals of an index, its package made before."""
    package = codec.with_name(f"{codec.name}-app")
    write_coded_index(compressed_index(index, codec), output, package)


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
    if request["what"] == "index":
        return Target(
            run=lambda: write_index_of(index, codec, output),
            output=output,
            state=lambda: index_state(output, index, codec),
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


def index_state(output: Path, index: Path, codec: Path) -> str:
    """Return ``new`` for the index of all documents' residuals; ``old`` for the one of before."""
    if not output.exists():
        return "none"
    try:
        if faults := all_faults(output):
            return f"broken: {faults[0]}"
        found, wanted = open_index(output), open_index(index)
    except VespaColbertError as error:
        return f"broken: {error}"
    if found.documents != wanted.documents:
        return "another"
    made_with = found.origin["codec"]
    for state, folder in (("new", codec), ("old", codec.with_name("older"))):
        if made_with == codec_origin(read_codec(folder))["codec"]:
            return state
    return "another"


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
