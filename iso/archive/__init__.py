"""Debian's package archive: which one, what it has, and what is wrong when it cannot be used."""
