"""Stage 3: margin gradients of comparisons, compressed by OPORP and stored."""
