"""Bringing a labeler closer to an expert (`ray_jobs.oversight`):

rated       rated responses -> pairs of responses with their scores
labeling    labels by weighing scores; labelers drawn at random
update      Algorithm 1: which labels agree with the expert -> new weights
experiment  one simulated labeler: every method, fewer query labels, fewer labels
guidance    in what each labeler differs from the expert, and which decisions show it
page        a labeler's page
"""
