"""A map is compared with reference data, or with another map."""
