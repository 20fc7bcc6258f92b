"""What computes logits of sequences: ONNX Runtime with a model folder, or torch with a checkpoint.

On a CPU, sequences of one length share a batch. A GPU, which one sequence does not fill, gets
batches that are padded to the longest; no padding is attended to, so that a pair's logit does not
depend on what it shares a batch with, beyond the order of sums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.cross_encoder import CrossEncoderCheckpoint
from vespa_colbert.checkpoint.pair_form import PairForm, read_pair_form
from vespa_colbert.errors import ArrayError, ExportError, SpecError
from vespa_colbert.export.cross_encoder import read_cross_encoder_folder
from vespa_colbert.export.model_folder import TOKENIZER_FILE
from vespa_colbert.export.onnx_session import open_session
from vespa_colbert.processors import processors
from vespa_colbert.reranker.pairs import PairTokens

if TYPE_CHECKING:
    from vespa_colbert.model.pair_encoder import PairEncoder

__all__ = ["OnnxScorer", "PairScorer", "TorchScorer"]


class PairScorer(Protocol):
    """A cross-encoder that is ready to compute."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def identity(self) -> str:
        """What makes its logits what they are: another one for other files, types or devices."""

    @property
    def pair(self) -> PairForm:
        """How its tokenizer puts two texts together."""

    @property
    def tokenizer_text(self) -> str:
        """Text of its ``tokenizer.json``."""

    @property
    def max_tokens(self) -> int:
        """Most tokens of a pair."""

    @property
    def workers(self) -> int:
        """How many calls may run at a time."""

    @property
    def is_padded(self) -> bool:
        """Whether sequences of several lengths share a batch."""

    def logits(self, batch: Sequence[PairTokens]) -> NDArray[np.float64]:
        """Return the logit of each sequence, (pair,) float64, every one finite."""


class OnnxScorer:
    """The graph of a model folder, run on the CPU without torch."""

    is_padded = False

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        """Open a model folder whose files are as its manifest says.

        Args:
            folder: What ``export`` wrote of a cross-encoder.
            threads: How many calls run at a time, each on one thread; 0 for one a processor.

        Raises:
            ExportError: If a file changed, or is no model.
            SpecError: If the folder is of another kind of model.
            CheckpointError: If the tokenizer puts pairs together in a way that is not known.
            MissingExtraError: If onnxruntime is not installed.
        """
        described = read_cross_encoder_folder(folder)
        self.facts = described.facts
        self.name = str(folder)
        self.identity = _digest({
            "runtime": "onnx",
            **{name: each.sha256 for name, each in described.files.items()},
        })
        self.pair = read_pair_form(folder)
        self.tokenizer_text = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
        self.max_tokens = described.facts.max_tokens
        self.workers = threads or processors()
        self._pad_id = int(described.checkpoint["facts"]["pad_id"])
        try:
            self._session = open_session(described.model_path, threads=1)
        except ExportError as error:
            raise ExportError(f"{described.model_path}: {error}; export again") from error

    def logits(self, batch: Sequence[PairTokens]) -> NDArray[np.float64]:
        """Return the logit of each sequence, (pair,) float64.

        Raises:
            ArrayError: If one is not finite.
        """
        facts = self.facts
        ids, mask, types = _padded(batch, self._pad_id)
        feeds = {facts.input_ids: ids, facts.attention_mask: mask}
        if facts.token_type_ids:
            feeds[facts.token_type_ids] = types
        (found,) = self._session.run([facts.output], feeds)
        return _checked(found[:, 0], self.name)


class TorchScorer:
    """A checkpoint in torch: on a GPU in half precision if that is asked for, else in float32."""

    workers = 1
    """Torch uses all processors in one call."""

    def __init__(
        self, checkpoint: CrossEncoderCheckpoint, *, device: str = "cpu", half: bool = False
    ) -> None:
        """Build the module.

        Args:
            checkpoint: The model.
            device: Where it computes, as torch calls it.
            half: Whether in half precision: on a GPU only.

        Raises:
            SpecError: If half precision is asked for on a CPU, or the device is not there.
            CheckpointError: If transformers does not build the model.
            MissingExtraError: If torch or transformers is not installed.
        """
        from vespa_colbert.model.build_pairs import build_cross_encoder

        if half and device == "cpu":
            raise SpecError(
                "half precision: expected a GPU, got the CPU, which computes it slower and less "
                "exactly than float32; leave it out"
            )
        module = build_cross_encoder(checkpoint)
        self._module: PairEncoder = _placed(module, device, half=half)
        self._device = device
        self.is_padded = device != "cpu"
        self._pad_id = checkpoint.pad_id
        self.name = str(checkpoint.path)
        self.identity = _digest({
            "runtime": f"torch {'fp16' if half else 'fp32'} on {device.partition(':')[0]}",
            **{name: each.sha256 for name, each in checkpoint.files.items()},
        })
        self.pair = checkpoint.pair
        self.tokenizer_text = checkpoint.tokenizer.text
        self.max_tokens = checkpoint.max_tokens

    def logits(self, batch: Sequence[PairTokens]) -> NDArray[np.float64]:
        """Return the logit of each sequence, (pair,) float64.

        Raises:
            ArrayError: If one is not finite.
        """
        import torch

        arrays = _padded(batch, self._pad_id)
        given = [torch.from_numpy(each).to(self._device) for each in arrays]
        with torch.inference_mode():
            found = self._module(*given)[:, 0].float().cpu().numpy()
        return _checked(found, self.name)


def _placed(module: Any, device: str, *, half: bool) -> Any:
    """Return the module on a device.

    Raises:
        SpecError: If it is not there.
    """
    try:
        return (module.half() if half else module).to(device)
    except (RuntimeError, AssertionError) as error:
        summary = str(error).splitlines()[0]
        raise SpecError(
            f"device: expected one that torch has, got {device!r} ({summary})"
        ) from None


def _digest(facts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _padded(
    batch: Sequence[PairTokens], pad_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return ids, attention and types, (pair, token) int64 each, padded to the longest."""
    shape = len(batch), max(len(each.ids) for each in batch)
    ids = np.full(shape, pad_id, np.int64)
    mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, each in enumerate(batch):
        size = len(each.ids)
        ids[row, :size], mask[row, :size], types[row, :size] = each.ids, 1, each.types
    return ids, mask, types


def _checked(logits: NDArray[np.float32], name: str) -> NDArray[np.float64]:
    """Return logits in double.

    Raises:
        ArrayError: If one is not finite.
    """
    if bad := int((~np.isfinite(logits)).sum()):
        raise ArrayError(
            f"{name}: expected finite scores, got {bad} of {len(logits)} that are NaN or infinite; "
            "the model was saved from a broken run: vespa-colbert check names what is wrong"
        )
    return logits.astype(np.float64)
