"""``vespa-colbert embed`` on a dense model folder: JSON lines in, JSON lines with vectors out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vespa_colbert.cli.console import Console
from vespa_colbert.cli.streams import STREAM, input_lines, output_lines

__all__ = ["write_vectors"]


def write_vectors(
    source: Path,
    model: Path,
    output: Path | None,
    *,
    role: Literal["query", "document"] = "document",
    dims: int | None = None,
    threads: int = 0,
) -> None:
    """Write a line with the vector of every text.

    Args:
        source: The lines, ``-`` for stdin.
        model: A model folder of a dense model.
        output: Where to; None or ``-`` for stdout. A file gets its name when it is complete.
        role: Says which instruction is put before the texts.
        dims: How many of the first components; None for as many as the model is used with.
        threads: How many calls run at a time; 0 for one a processor.
    """
    from vespa_colbert.embedder import LocalDenseEmbedder
    from vespa_colbert.export import read_dense_folder
    from vespa_colbert.pipeline.embed_texts import embed_lines

    embedder, console = LocalDenseEmbedder(read_dense_folder(model), threads=threads), Console()
    title = "stdin" if source == STREAM else str(source)
    with input_lines(source) as lines, output_lines(output) as write:
        made = embed_lines(
            lines,
            embedder,
            role,
            source=title,
            dims=dims,
            progress=lambda done: console.say(f"  {done} texts embedded"),
        )
        for line in made:
            write(f"{line}\n")
