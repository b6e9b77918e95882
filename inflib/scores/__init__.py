"""Stage 4: influence of every label, and what follows from it."""
