"""Drivers of the benchmarks."""
