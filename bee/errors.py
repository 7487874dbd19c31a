"""What bee's commands end with when they cannot do what was asked for."""

from __future__ import annotations


class BadInputError(Exception):
    """What was asked for cannot be done; the text is one line: what, where, what to do."""
