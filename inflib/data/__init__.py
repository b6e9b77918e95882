"""Stage 1: preference files to comparisons (tokenised) and labels, in shards."""
