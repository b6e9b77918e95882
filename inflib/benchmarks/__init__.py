"""Benchmarks: workloads, contenders, exact results to compare with, peak memory."""
