"""LLM judges (`ray_jobs.judge`):

questions  what a judge is asked, and how its answers are read
plan       all questions about a run, and what they will cost
asking     questions -> answers of an endpoint, kept one by one
verdicts   answers -> ratings or choices
agreement  how well two judges agree
"""
