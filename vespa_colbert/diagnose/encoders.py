"""Ids → rows: a checkpoint in torch, or the graph of a model folder in ONNX Runtime."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.diagnose.closeness import nearest_bfloat16
from vespa_colbert.errors import ExportError
from vespa_colbert.export.dense import DenseFolder
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.onnx_session import open_session

__all__ = ["Encoder", "GraphEncoder", "TorchEncoder", "stored_as", "weight_differences"]

Ids = NDArray[np.int64]
Rows = NDArray[np.float32]

STORED = {"F16": "float16", "BF16": "bfloat16"}
SHOWN_TENSORS = 3


class Encoder(Protocol):
    """What turns ids into rows."""

    @property
    def is_flexible(self) -> bool:
        """Whether layers, token types and floats to compute with can be chosen."""
        ...

    def rows(
        self, ids: Ids, attention: Ids, *, layer: int = -1, token_types: int = 0, compute: str
    ) -> Rows:
        """Return rows, (text, token, width) float32, or vectors, (text, dim), of a pooled graph."""
        ...


class TorchEncoder:
    """The encoder of a checkpoint, built when it is first asked."""

    is_flexible = True

    def __init__(self, checkpoint: DenseCheckpoint) -> None:
        self.checkpoint = checkpoint
        self._modules: dict[str, Any] = {}

    @property
    def layers(self) -> int:
        """Layers that it has."""
        config = self._opened("float32").config
        return int(config.num_hidden_layers)

    @property
    def pooler(self) -> ProjectionLayer | None:
        """The layer behind ``pooler_output``, None where the weights have none."""
        weights = self.checkpoint.encoder.weights
        named = {name.removeprefix(name.partition("pooler.")[0]): name for name in weights}
        if "pooler.dense.weight" not in named or "pooler.dense.bias" not in named:
            return None
        weight, bias = (weights[named[f"pooler.dense.{part}"]] for part in ("weight", "bias"))
        return ProjectionLayer(weight=weight, bias=bias, activation="tanh")

    @property
    def types(self) -> int:
        """Token types that it tells apart."""
        return int(self.checkpoint.encoder.config.get("type_vocab_size") or 1)

    def rows(
        self, ids: Ids, attention: Ids, *, layer: int = -1, token_types: int = 0, compute: str
    ) -> Rows:
        """Return rows, (text, token, width) float32."""
        import torch

        module = self._opened(compute)
        given = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(attention)}
        if token_types:
            given["token_type_ids"] = torch.full_like(given["input_ids"], token_types)
        with torch.no_grad():
            if layer == -1:
                found = module(**given)[0]
            else:
                found = module(**given, output_hidden_states=True).hidden_states[layer]
        rows: Rows = found.to(torch.float32).numpy()
        return rows

    def layer_rows(self, ids: Ids) -> list[Rows]:
        """Return what each layer gives for one text, the embeddings first."""
        import torch

        given = torch.tensor(ids)[None]
        with torch.no_grad():
            output = self._opened("float32")(
                input_ids=given, attention_mask=torch.ones_like(given), output_hidden_states=True
            )
        return [each[0].numpy() for each in output.hidden_states]

    def _opened(self, compute: str) -> Any:
        import torch

        from vespa_colbert.model import build_dense

        if compute not in self._modules:
            module = build_dense(self.checkpoint, pooled=False).encoder
            self._modules[compute] = module.to(getattr(torch, compute))
        return self._modules[compute]


class GraphEncoder:
    """The graph of a model folder."""

    is_flexible = False

    def __init__(self, path: Path, spec: DenseSpec, dtype: str = "fp32") -> None:
        self.path, self.spec, self.dtype = path, spec, dtype
        self._session = open_session(path)

    def rows(
        self, ids: Ids, attention: Ids, *, layer: int = -1, token_types: int = 0, compute: str
    ) -> Rows:
        """Return rows, (text, token, width), or vectors, (text, dim), float32.

        Raises:
            ExportError: If another layer, other floats or types are asked for than it has.
        """
        spec = self.spec
        if layer != -1 or compute != "float32" or (token_types and not spec.token_type_ids):
            raise ExportError(f"{self.path}: expected the rows that the graph gives, got a layer")
        given = {
            spec.input_ids: ids,
            spec.attention_mask: attention,
            spec.token_type_ids: np.full_like(ids, token_types),
        }
        feeds = {name: array for name, array in given.items() if name}
        (output,) = self._session.run([spec.output], feeds)
        rows: Rows = output
        return rows


def stored_as(encoder: Encoder, other: Encoder) -> Iterator[tuple[str, Encoder]]:
    """Yield what an encoder becomes in the dtype of another one, with the name of that dtype.

    Args:
        encoder: The one to be narrowed.
        other: Says the dtype.
    """
    if isinstance(encoder, TorchEncoder) and isinstance(other, TorchEncoder):
        own = encoder.checkpoint.encoder
        for dtype in other.checkpoint.encoder.dtypes:
            if dtype in STORED and dtype not in own.dtypes:
                weights = {name: _rounded(each, dtype) for name, each in own.weights.items()}
                narrow = replace(own, weights=weights)
                yield STORED[dtype], TorchEncoder(replace(encoder.checkpoint, encoder=narrow))
    if isinstance(other, GraphEncoder) and other.dtype != "fp32":
        with tempfile.TemporaryDirectory() as place:
            narrowed = _narrowed(encoder, other, Path(place))
            if narrowed is not None:
                yield other.dtype, narrowed


def weight_differences(one: TorchEncoder, other: TorchEncoder) -> tuple[str, ...]:
    """Return how two checkpoints' encoders differ: config, tensors, values."""
    ours, theirs = one.checkpoint.encoder, other.checkpoint.encoder
    told = [
        f"config.json: {key}: {ours.config.get(key)!r} and {theirs.config.get(key)!r}"
        for key in sorted({*ours.config, *theirs.config} - NOTHING_COMPUTED)
        if ours.config.get(key) != theirs.config.get(key)
    ]
    absent = sorted(ours.weights.keys() ^ theirs.weights.keys())
    if absent:
        told.append(f"tensors of one only: {_listed(absent)}")
    other_values = [
        name
        for name in ours.weights
        if name in theirs.weights and not _equal(ours.weights[name], theirs.weights[name])
    ]
    if other_values:
        told.append(f"tensors with other values: {_listed(other_values)}")
    return tuple(told)


NOTHING_COMPUTED = frozenset({
    *("_name_or_path", "architectures", "transformers_version", "torch_dtype", "dtype"),
})


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_TENSORS} more" if len(names) > SHOWN_TENSORS else ""
    return ", ".join(names[:SHOWN_TENSORS]) + more


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and bool((one == other).all())


def _rounded(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return floats as they come back from a file of another dtype."""
    if array.dtype.kind != "f":
        return array
    if dtype == "F16":
        return array.astype(np.float16).astype(np.float32)
    return nearest_bfloat16(array)


def _narrowed(encoder: Encoder, other: GraphEncoder, place: Path) -> GraphEncoder | None:
    """Return the graph of an encoder in the dtype of another graph, None if it cannot be had."""
    from vespa_colbert.export.dense import export_dense, read_dense_folder
    from vespa_colbert.export.dtype import convert_dtype
    from vespa_colbert.export.options import ExportOptions

    if isinstance(encoder, GraphEncoder):
        if encoder.dtype != "fp32":
            return None
        path = Path(shutil.copytree(encoder.path.parent, place / "model")) / encoder.path.name
    elif isinstance(encoder, TorchEncoder):
        pooled = other.spec.pooling == "none"
        options = ExportOptions(packaging="exact" if pooled else "auto", verify=False)
        folder: DenseFolder = export_dense(encoder.checkpoint, place / "model", options)
        path = read_dense_folder(folder.path).model_path
    else:
        return None
    convert_dtype(path, other.dtype)  # type: ignore[arg-type]
    return GraphEncoder(path, other.spec, other.dtype)
