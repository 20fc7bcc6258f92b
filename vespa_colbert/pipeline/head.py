"""Checkpoint and texts on disk → the checkpoint with another head, made without training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from vespa_colbert.checkpoint import ReadOptions, read_checkpoint
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.errors import CollectionError, SpecError
from vespa_colbert.files import digest_file
from vespa_colbert.index import read_corpus
from vespa_colbert.json_lines import numbered_lines
from vespa_colbert.pipeline.distil import Distilled, DistilOptions, Surgery, distil_head
from vespa_colbert.pipeline.mine import document_text
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.train import check_output, remove_state, run_folder
from vespa_colbert.train import HeadStart, OutputLayout
from vespa_colbert.train.heads import orthonormal_rows
from vespa_colbert.train.surgery import HeadOptions, NewHead, change_head

__all__ = ["HeadRequest", "HeadWritten", "make_head", "read_texts"]

DEFAULT_DIM = 128
"""Of a new head where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRequest:
    """What is read and written.

    Attributes:
        checkpoint: The folder.
        read: What the user allows and states of it. A plain encoder needs no head if a new one is
            to be made.
        texts: JSONL corpus, or a file with a text on each line.
        output: Folder of the checkpoint with the new head.
        layout: In which it is written.
        distil: On what the new head then learns the scores of the one before; None for not at all.
    """

    checkpoint: Path
    read: ReadOptions
    texts: Path
    output: Path
    layout: OutputLayout = "same"
    distil: DistilOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWritten:
    """What was written.

    Attributes:
        path: The checkpoint.
        layout: Its layout.
        dim: Width of a token vector.
        head: What can be said of the head, as it was made of token vectors.
        distilled: What it learned then; None where it did not.
    """

    path: Path
    layout: str
    dim: int
    head: NewHead
    distilled: Distilled | None = None


def make_head(
    request: HeadRequest, options: HeadOptions, *, reporter: Reporter | None = None
) -> HeadWritten:
    """Return what came of giving a checkpoint another head.

    Args:
        request: What is read and written.
        options: How the head is made.
        reporter: Hears of the progress.

    Raises:
        CheckpointError: If the checkpoint cannot be read, or the layout cannot hold it.
        CollectionError: If the file of texts has a bad line, or no text.
        SpecError: If a width cannot be, or the layout has no place for what is asked for.
        ArrayError: If a row of the encoder is not finite.
        TrainingError: If the distillation fails, or the state of another run is there.
        OutputError: If the output cannot be written, or is not a checkpoint of this package.
        MissingExtraError: If torch, transformers or tokenizers is not installed.
    """
    from vespa_colbert.train.layouts import write_trained, written_form

    tell = reporter or Silent()
    with tempfile.TemporaryDirectory() as folder:
        read = _with_head(request, options, Path(folder))
        source = read_checkpoint(request.checkpoint, read)
    check_output(request.output, source.path)
    texts = read_texts(request.texts)
    tell.say(f"{request.texts}: {len(texts)} texts")
    rows = request.distil.read() if request.distil else None
    form = written_form(source, request.layout)
    head = change_head(form, texts, options, tell.track)
    state, distilled = run_folder(request.output), None
    if request.distil and rows:
        surgery = Surgery(before=form, after=head.checkpoint, options=options)
        distilled = distil_head(surgery, rows, state, request.distil, tell)
    write_trained(
        request.output,
        source,
        distilled.checkpoint if distilled else head.checkpoint,
        layout=request.layout,
        options=read,
        origin=_origin(request, options, head),
    )
    if distilled:
        remove_state(state)
    return HeadWritten(
        path=request.output,
        layout=head.checkpoint.layout,
        dim=head.checkpoint.dim,
        head=head,
        distilled=distilled,
    )


def read_texts(path: Path) -> list[str]:
    """Return the texts of a file: title and text of a JSONL corpus, or the lines that are there.

    Raises:
        CollectionError: If a line is bad, or there is no text.
    """
    if path.suffix == ".jsonl":
        texts = [document_text(each) for each in read_corpus(path)]
    else:
        texts = [line.strip() for _number, line in numbered_lines(path)]
    if not any(texts):
        raise CollectionError(f"{path}: expected texts, got none")
    return [text for text in texts if text]


def _with_head(request: HeadRequest, options: HeadOptions, folder: Path) -> ReadOptions:
    """Return the options to read with: for a bare encoder, a head that will not stay.

    Raises:
        SpecError: If a bare encoder's own head is asked for.
    """
    from vespa_colbert.checkpoint.read import LAYOUTS

    read = request.read
    if read.head is not None or not request.checkpoint.is_dir():
        return read
    *others, plain = LAYOUTS
    if plain.misfits(request.checkpoint, read) or not all(
        layout.misfits(request.checkpoint, read) for layout in others
    ):
        return read
    if options.start is HeadStart.OWN:
        raise SpecError(
            f"{request.checkpoint}: a plain encoder has no head of its own; name one (--head "
            "FILE), or make a new one (--head-start new)"
        )
    width = read_encoder(request.checkpoint, read)[0].hidden_size
    head = folder / "head.safetensors"
    save_file({"weight": orthonormal_rows(width, min(DEFAULT_DIM, width), 0)}, head)
    return replace(read, head=head)


def _origin(request: HeadRequest, options: HeadOptions, head: NewHead) -> Mapping[str, Any]:
    return {
        "made-by": "head",
        "checkpoint": request.checkpoint.name,
        "texts": {"name": request.texts.name, "sha256": digest_file(request.texts).sha256},
        "method": str(options.method),
        "head-start": str(options.start),
        "dims": head.checkpoint.dim,
        "cuts": list(options.cuts),
        "centered": options.centered,
        "whitening": options.whitening,
        "seed": options.seed,
        "encoded-texts": head.texts,
        **({"distilled": request.distil.to_json()} if request.distil else {}),
    }
