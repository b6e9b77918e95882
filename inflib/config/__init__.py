"""Recipes: one model per stage, YAML and the command line."""
