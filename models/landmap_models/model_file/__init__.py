"""A .keras file with its model card inside."""
