"""Weights & Biases as a mirror of the ledger, and its dashboard."""
