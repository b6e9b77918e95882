"""Entry points, one per command: they run inflib on Ray. No math, no file formats."""
