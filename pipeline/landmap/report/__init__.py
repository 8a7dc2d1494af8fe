"""Results are shown to people: pages, pictures, and facts of how a map was made."""
