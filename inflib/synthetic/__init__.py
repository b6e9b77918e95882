"""A seed to generated preference data whose wrong labels, or attributes, are known."""
