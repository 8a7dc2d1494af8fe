"""A network is trained on labelled chips."""
