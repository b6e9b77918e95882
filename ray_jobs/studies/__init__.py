"""Drivers of the studies."""
