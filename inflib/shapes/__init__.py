"""Raw rows of any shape to labels with their texts."""
