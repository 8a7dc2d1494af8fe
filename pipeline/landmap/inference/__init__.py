"""Pixels become classes: the plan of a scene, its chunks, their prediction, and how windows are blended."""
