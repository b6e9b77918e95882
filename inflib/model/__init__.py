"""Stage 2 of 5: labels to a LoRA reward model, and token ids to its rewards."""
