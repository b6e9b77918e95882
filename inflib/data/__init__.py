"""Stage 1: preference files to comparisons and labels, tokenised, in shards."""
