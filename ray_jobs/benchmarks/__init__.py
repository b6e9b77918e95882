"""The Ray side of the benchmarks."""
