"""Rank features: one table, and what computes each."""
