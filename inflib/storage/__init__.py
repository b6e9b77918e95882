"""Local and S3 folders: whole-file reads, atomic writes, requests that are retried."""
