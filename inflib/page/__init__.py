"""An audited run to the pages that people read and decide in."""
