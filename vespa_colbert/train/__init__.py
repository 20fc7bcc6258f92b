"""Training rows, batches and mined negatives; losses and MaxSim in modules that import torch.

``losses.py`` and ``max_sim.py`` import torch and are imported when training runs.
"""

from __future__ import annotations

from vespa_colbert.train.batches import Batch, BatchOptions, batch_count, epoch_batches
from vespa_colbert.train.mining import (
    Found,
    MinedRow,
    MiningOptions,
    Pick,
    Search,
    mine_rows,
    write_rows,
)
from vespa_colbert.train.rows import TrainingData, TrainingRow, read_training_data
from vespa_colbert.train.settings import (
    Control,
    Device,
    HeadStart,
    OutputLayout,
    Precision,
    StoppedError,
    TrainingOptions,
)

__all__ = [
    "Batch",
    "BatchOptions",
    "Control",
    "Device",
    "Found",
    "HeadStart",
    "MinedRow",
    "MiningOptions",
    "OutputLayout",
    "Pick",
    "Precision",
    "Search",
    "StoppedError",
    "TrainingData",
    "TrainingOptions",
    "TrainingRow",
    "batch_count",
    "epoch_batches",
    "mine_rows",
    "read_training_data",
    "write_rows",
]
