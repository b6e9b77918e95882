"""Stage 5: what a person reads: tables, pages, plots."""
