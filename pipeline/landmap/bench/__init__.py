"""Measures where the time of a classification goes."""
