"""Stage 3 of 5: comparisons to their margin gradients, compressed by OPORP, stored."""
