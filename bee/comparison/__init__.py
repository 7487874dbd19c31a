"""Audits held against each other: what has changed, and what a rack of equal machines must be."""
