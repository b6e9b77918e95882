"""Influence of preference labels on a reward model; docs/architecture.md is the map."""
