"""Decisions on labels to datasets, and to the files of labelling tools."""
