"""Influence of preference labels on a reward model. File order is data flow:

config_data    sources, planted biases, preparation
config_bias    the bias-detection study
config_score   scoring and the report
config_judge   LLM judges
config_oversight  bringing a labeler closer to an expert
config         one frozen model per stage
recipe         YAML and overrides to a config; binds a run folder to it
cli            command line of every entry point
events         what happens, as log records with facts
s3             S3 with retries that are seen, and errors that help
folder         a run's folder, local or S3: whole reads, atomic writes
generated      1 made-up preference data and ratings as sources
readers        1 preference files -> raw rows, bad ones by file and row
sources        1 the input files of a run
pairs          1 raw row -> prompt, chosen, rejected
tokenizer      1 the base model's tokenizer, padded safely
tokens         1 pair -> token ids: shared prefix, two tails
bias           1 known biases planted into labels; query sets by purpose
preparing      1 rows ready for sharding; tables of a shard
census         1 duplicates, kept columns, data report
pairs_folder   1 the folder pairs/<set>/
appending      1 more labels for a run that is prepared
training       2 LoRA reward model with TRL
units          3 comparisons -> units of computation, and back
packing        3 units -> batches under a token budget: padded rows, or one flat row
attention      3 attention over flat batches
last_layer     3 the last layer for reward tokens only
adapter        3 a LoRA adapter with its score head, in memory
reward         3 base + LoRA + score head; values of a batch
reward_folder  3 the folder reward_model/
gradients      3 gradient of every unit, block by block, from hooks
layers         3 which blocks share a range of a sketch's bins
sketch         3 OPORP
sketcher       3 units -> sketches, within the memory there is
manifest       3 what a store of sketches was made with
node_cache     4 payloads of an object store, kept on a node's disk
store          3 sketch shards: payload, commit record, index
sketching      3 shard of pairs -> shard of sketches
edits          4 edits of labels: flip, drop, reweight
labels         4 labels of a shard, with margins and norms
products       4 stored sketches times vectors, on the stored bytes
curvature      4 identity, DataInf, Fisher, Gauss-Newton: weights of labels
scoring        4 sums over shards
solve          4 conjugate gradients for many dampings at once
damping        4 the damping of a query set, by split halves
influence      4 influence and flip effect of labels
uncertainty    4 standard errors; which scores differ from zero
score_table    4 scores of labels and their standard errors, by shard
passes         4 what is asked of a store, whoever reads it
engine         4 sums -> H^-1 v of every curvature
local_passes   4 all of it in this process, without Ray
assembling     4 scored shards -> influence.parquet, with ranks
groups         5 harm by labeler or any column; what labelers prefer; who is suspicious
labelers       5 groups of labels in the scores, traits of what they prefer
metrics        5 AUC and other figures of a ranking
summary        5 facts of the report, summary.json
terminal       5 the report's tables
what_if        what edits of labels would do to the query loss
explaining     which training labels drive single query labels
verifying      what to retrain to see whether scores are right, and what came of it
checking       is a run whole? every digest, count, manifest
ratings        ratings and choices of judges, from files
demo_topics    hand-written questions and sentences
demo_data      generated pairs with one biased labeler
demo_attributes  generated responses, rated in four attributes
pages          labels with their texts, as HTML
pictures       figures as PNG files
progress       one line per stage while it runs
detection      which detectors find labels that were planted wrong
judging        LLM judges: questions, answers, verdicts
oversight      bringing a labeler closer to an expert
benchmarks     what ray_jobs.benchmark and scripts/gpu_check.py measure

Importing any of them needs neither ray, trl nor datasets.
"""
