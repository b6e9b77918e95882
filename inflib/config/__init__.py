"""Recipes: one model per stage, from YAML and the command line."""
