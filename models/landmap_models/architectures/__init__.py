"""Chip classifiers, one architecture a module."""
