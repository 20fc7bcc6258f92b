"""Cross-encoder → model folder: convert, check, compare with torch, and only then name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vespa_colbert.checkpoint.cross_encoder import CrossEncoderCheckpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export.attempts import check_opset, check_size, first_sound_graph
from vespa_colbert.export.compare import (
    SEED,
    SHAPES,
    CaseResult,
    OutputCase,
    compare_outputs,
)
from vespa_colbert.export.convert import EXPORTERS
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec
from vespa_colbert.export.graph_form import INPUT_NAMES, GraphForm
from vespa_colbert.export.graph_job import CheckedGraph, GraphJob
from vespa_colbert.export.manifest import (
    describe_graph,
    describe_verification,
    digest_files,
    installed_versions,
)
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    new_model_folder,
)
from vespa_colbert.export.options import DEFAULT_OPTIONS, ExportOptions
from vespa_colbert.export.refine import fuse_graph
from vespa_colbert.export.runtimes import Runtime, runtime_of
from vespa_colbert.export.stated_folder import StatedFolder, read_stated_folder
from vespa_colbert.export.tokenizer_file import tokenizer_text

if TYPE_CHECKING:
    from vespa_colbert.model.pair_encoder import PairEncoder

__all__ = ["CrossEncoderFolder", "export_cross_encoder", "read_cross_encoder_folder"]

CrossEncoderFolder: TypeAlias = StatedFolder[CrossEncoderSpec]
MEMBER = "cross_encoder"
TYPES = "token_type_ids"
OUTPUT = "logits"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job(GraphJob):
    """What one export works on."""

    checkpoint: CrossEncoderCheckpoint
    module: PairEncoder

    @property
    def form(self) -> GraphForm:
        """Names and axes of the graph."""
        types = (TYPES,) if self.module.takes_types else ()
        return GraphForm(inputs=(*INPUT_NAMES, *types), output=OUTPUT, axes=("batch", 1))

    def examples(self) -> tuple[Any, ...]:
        """Return an example of each input as tensors of their own, some of the attention 0."""
        import torch

        _kind, case = next(_cases(self, ((2, 9),), kinds=("padded",)))
        return tuple(torch.tensor(case[name]) for name in self.form.inputs)

    def compared(self, tolerance: float) -> Iterator[CaseResult]:
        """Return how the file as it is now compares with torch; see ``GraphJob``."""
        return compare_outputs(self.path, self.module, OUTPUT, _cases(self), tolerance=tolerance)


def export_cross_encoder(
    checkpoint: CrossEncoderCheckpoint,
    output: Path,
    options: ExportOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[str], None] | None = None,
) -> CrossEncoderFolder:
    """Return the model folder written to ``output``, checked against torch before it is there.

    Args:
        checkpoint: What to convert.
        output: Final folder; a model folder that stands there is replaced.
        options: How it is to be written; a cross-encoder is written in float32.
        progress: Told in a few words what is being done.

    Raises:
        CheckpointError: If transformers does not build the model.
        ExportError: If no exporter converts it, or something is asked for that it does not have.
        GraphMismatchError: If the graph differs from torch.
        MissingExtraError: If the export extra is not installed.
        OutputError: If the folder cannot be written; nothing is left under its name then.
    """
    from vespa_colbert.model.build_pairs import build_cross_encoder

    tell = progress or (lambda _what: None)
    runtime = runtime_of(options.vespa_version)
    _check_request(checkpoint, options, runtime)
    versions = installed_versions()
    tell("building the torch module")
    module = build_cross_encoder(checkpoint)
    with new_model_folder(output) as part:
        job = _Job(
            checkpoint=checkpoint,
            options=options,
            module=module,
            runtime=runtime,
            path=part / MODEL_FILE,
            tell=tell,
        )
        graph = fuse_graph(job, first_sound_graph(job, EXPORTERS))
        text = tokenizer_text(checkpoint.tokenizer.text)
        (part / TOKENIZER_FILE).write_text(text, encoding="utf-8")
        folder = _described(job, graph, versions)
        (part / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    return read_cross_encoder_folder(output)


def read_cross_encoder_folder(path: Path, *, check: bool = True) -> CrossEncoderFolder:
    """Return a model folder of a cross-encoder.

    Args:
        path: The folder that ``export`` wrote.
        check: Whether to read all files and compare their checksums.

    Raises:
        ExportError: If it is not complete, or a file changed.
        SpecError: If it is of another kind of model.
    """
    return read_stated_folder(path, MEMBER, CrossEncoderSpec, check=check)


def _check_request(
    checkpoint: CrossEncoderCheckpoint, options: ExportOptions, runtime: Runtime
) -> None:
    """Return nothing if the request is one that a cross-encoder can meet.

    Raises:
        ExportError: If not.
    """
    check_opset(options, runtime)
    check_size(checkpoint.path, checkpoint.encoder.weights)
    asked = {
        "packaging": options.packaging == "exact",
        "dims": options.dims is not None,
        "dtype": options.dtype != "fp32",
    }
    if foreign := [name for name, is_asked in asked.items() if is_asked]:
        raise ExportError(
            f"{checkpoint.path}: {', '.join(foreign)}: expected a cross-encoder to be written as "
            "it is, in fp32, got another wish; leave it out"
        )


def _cases(
    job: _Job,
    shapes: tuple[tuple[int, int], ...] = SHAPES,
    kinds: tuple[str, ...] = ("full", "padded"),
) -> Iterator[OutputCase]:
    """Yield pairs of random tokens with separators where they belong.

    Pairs of a padded batch have different lengths, and padding behind them.
    """
    facts, pair = job.checkpoint, job.checkpoint.pair
    generator = np.random.default_rng(SEED)
    sizes = dict.fromkeys(
        (batch, max(pair.special_tokens + 2, min(length, facts.max_tokens)))
        for batch, length in shapes
    )
    for batch, length in sizes:
        for kind in kinds:
            shorter = np.arange(batch)[:, None] * (kind == "padded") + (kind == "padded")
            kept = np.maximum(pair.special_tokens + 2, length - shorter * (length // 4))
            place = np.arange(length)[None, :]
            ids = generator.integers(0, facts.encoder.vocabulary_size, (batch, length))
            middle = kept // 3
            is_separator = (place > middle) & (place <= middle + pair.separators)
            ids = np.where(is_separator | (place == kept - 1), pair.separator_id, ids)
            ids[:, 0] = pair.start_id
            given = {
                "input_ids": np.where(place < kept, ids, facts.pad_id),
                "attention_mask": place < kept,
                TYPES: (place > middle + pair.separators) & (place < kept),
            }
            yield kind, {name: given[name].astype(np.int64) for name in job.form.inputs}


def _described(job: _Job, graph: CheckedGraph, versions: dict[str, str]) -> CrossEncoderFolder:
    """Return what the manifest says of the files that are there now."""
    read, options = job.checkpoint, job.options
    types = TYPES if job.module.takes_types else ""
    return StatedFolder(
        path=job.path.parent,
        member=MEMBER,
        facts=CrossEncoderSpec(max_tokens=read.max_tokens, token_type_ids=types, output=OUTPUT),
        requested={"optimize": options.optimize, "verify": options.verify},
        checkpoint=checkpoint_facts(read),
        versions=versions,
        graph=describe_graph(job, graph),
        verification=describe_verification(job, graph),
        files=digest_files(job.path.parent),
    )


def checkpoint_facts(read: CrossEncoderCheckpoint) -> dict[str, Any]:
    """Return where a model comes from, as its manifest says it."""
    return {
        "name": read.path.resolve().name,
        "layout": "sequence classification",
        "encoder": {
            "model_type": read.encoder.model_type,
            "hidden_size": read.encoder.hidden_size,
            "vocabulary_size": read.encoder.vocabulary_size,
            "positions": read.encoder.positions,
            "dtypes": list(read.encoder.dtypes),
        },
        "facts": {
            "max_tokens": read.max_tokens,
            "pad_id": read.pad_id,
            "pair": asdict(read.pair),
        },
        "provenance": dict(read.provenance),
        "files": {name: asdict(digest) for name, digest in sorted(read.files.items())},
        "warnings": list(read.warnings),
    }
