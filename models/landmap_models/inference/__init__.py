"""Pixels become classes: the plan, chunks, prediction, stitching."""
