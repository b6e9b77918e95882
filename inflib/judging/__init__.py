"""Study: a language model rates responses or compares them; its answers as files."""
