"""What is measured: workloads, contenders, oracles, peak memory."""
