"""The Ray side of the studies of bias, oversight and retraining."""
