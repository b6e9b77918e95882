"""Which detectors find labels that were planted wrong (`ray_jobs.detect_bias`):

activations  hidden states of every response, written and read by layer
detectors    Mahalanobis distance, nearest neighbours, confidence, entropy
layers       which layer and k, with and without looking at the truth
table        all detectors of a run, their figures and paired tests
query_sizes  query vectors of random parts of a query set
figures      ROC, precision-recall and ablations as PNG files
examples     the labels that harm and help most, as a page
"""
