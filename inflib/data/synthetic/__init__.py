"""Preference data that this project generates."""
