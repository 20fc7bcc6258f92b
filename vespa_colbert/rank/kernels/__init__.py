"""MaxSim and its relatives over many documents at once, without a matrix of scores."""

from __future__ import annotations

from vespa_colbert.rank.kernels.choice import hamming_sums, max_sim, max_sim_bits
from vespa_colbert.rank.kernels.residual import Residuals, max_sim_residuals

__all__ = ["Residuals", "hamming_sums", "max_sim", "max_sim_bits", "max_sim_residuals"]
