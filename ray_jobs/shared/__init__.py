"""What the entry points have in common."""
