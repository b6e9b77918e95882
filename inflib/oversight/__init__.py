"""Study: bringing a labeler closer to an expert."""
