"""Files of any container, encoding and format to raw rows."""
