"""LLM judges: questions, answers, ratings and choices."""
