"""Stage 5: scores to what a person reads: summary, terminal tables, pages, plots."""
