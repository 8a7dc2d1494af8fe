"""An invented scene to begin with."""
