"""Labelled chips, read from files."""
