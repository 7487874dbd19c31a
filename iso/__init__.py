"""Build the live CD."""
