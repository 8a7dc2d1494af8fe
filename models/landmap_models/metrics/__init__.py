"""Measures of agreement between labels and predictions."""
