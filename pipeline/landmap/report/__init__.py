"""A map is shown to people: pages and pictures."""
