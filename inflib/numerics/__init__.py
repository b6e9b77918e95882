"""Formulas on tensors; no files, no model, nothing else of inflib."""
