"""What the tensor fields that a ranking reads store of a document."""

from __future__ import annotations

from pathlib import Path

from vespa_colbert.evaluate import StoredField
from vespa_colbert.export import ModelFolder
from vespa_colbert.pipeline.search import Searcher
from vespa_colbert.plan import measured_lengths, plan_application
from vespa_colbert.rank.expand import calls

__all__ = ["fields_of", "stored_fields"]

READS_FIELDS = frozenset({"attribute", "closeness", "distance"})
RUNS_MODELS = frozenset({"onnx", "onnxModel"})


def stored_fields(
    searcher: Searcher, application: Path, model: ModelFolder
) -> dict[str, StoredField]:
    """Return name → what a tensor field stores of a document.

    Args:
        searcher: The package opened over an index whose cells stand in files of their own.
        application: The package.
        model: Its model folder.
    """
    index = searcher.index
    if not index.tensors:
        return {}
    lengths = measured_lengths(index, query=model.embedder.max_query_tokens)
    plan = plan_application(application, len(index), lengths, searcher.schema.name)
    return {
        each.name: StoredField(
            name=each.name,
            type=str(each.type),
            vectors=each.vectors,
            cell_bytes=each.vectors * each.vector_bytes,
            # Streaming mode keeps no attribute; what it reads from disk is counted.
            bytes=each.bytes_a_document or each.stored.saved,
            disk_bytes=_written(index.path, each.name) / len(index),
        )
        for schema in plan.schemas
        for each in schema.fields
    }


def _written(folder: Path, name: str) -> int:
    """Return the bytes of a field's files."""
    return sum(path.stat().st_size for path in folder.glob(f"{name}.*"))


def fields_of(searcher: Searcher, profile: str) -> list[str]:
    """Return the tensor fields that a profile's phases read, in the order of the schema."""
    ranker = searcher.ranker(profile)
    nodes = [*ranker.phases.values()]
    if any(call.name in RUNS_MODELS for node in nodes for call in calls(node)):
        inputs = {
            name
            for each in (*ranker.profile.onnx_models, *ranker.schema.all_onnx_models)
            for _, name in each.inputs
        }
        nodes += [ranker.compiled.tree(name, name) for name in inputs]
    names = {
        str(argument)
        for node in nodes
        for call in calls(node)
        if call.name in READS_FIELDS
        for argument in call.arguments or ()
    }
    return [name for name in ranker.documents.tensors if name in names]
