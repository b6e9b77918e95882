"""What the entry points have in common: Ray, logs, shards, passes as Ray tasks."""
