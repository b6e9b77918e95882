"""Stage 4: sketches to the influence of every label, and what is done with it."""
