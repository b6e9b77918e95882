"""Entry points: wiring of inflib into Ray. No math, no file formats."""
