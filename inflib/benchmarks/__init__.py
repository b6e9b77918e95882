"""What `python -m ray_jobs.benchmark` and scripts/gpu_check.py measure:

workload    pairs with the lengths of real ones; Llama-shaped reward models
exact       the same model without transformers' float32 roundings: an oracle
contenders  ours and other ways to do the same work
paper       the paper's compression, from its description
gradients   the benchmark's figures for one dtype
run_folder  a run folder of such pairs, for the Ray part
scale       preference data of any size and a tiny model, for all stages
memory      peak memory of a driver and all that it starts
gpu         checks and figures of one GPU
timing      contenders run in turn, repeated
"""
