"""MaxSim and its relatives over many documents at once, without a matrix of scores."""

from __future__ import annotations

from vespa_colbert.rank.kernels.choice import (
    hamming_sums,
    hamming_sums_of_queries,
    max_sim,
    max_sim_bits,
    max_sim_bits_of_queries,
    max_sim_of_queries,
)
from vespa_colbert.rank.kernels.residual import (
    Residuals,
    max_sim_residuals,
    max_sim_residuals_of_queries,
)

__all__ = [
    "Residuals",
    "hamming_sums",
    "hamming_sums_of_queries",
    "max_sim",
    "max_sim_bits",
    "max_sim_bits_of_queries",
    "max_sim_of_queries",
    "max_sim_residuals",
    "max_sim_residuals_of_queries",
]
