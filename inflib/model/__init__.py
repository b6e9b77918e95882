"""Stage 2: the LoRA reward model: train it, load it, run it."""
