"""Models that others have published become model files: rebuilt from layers, or their graphs checked and taken over."""
