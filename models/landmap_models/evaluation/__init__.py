"""A model is measured on labelled chips."""
