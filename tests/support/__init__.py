"""Builders and helpers that tests share; no tests."""
