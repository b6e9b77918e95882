"""Folders, local or S3: whole reads, atomic writes, patient requests."""
