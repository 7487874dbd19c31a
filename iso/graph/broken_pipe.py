"""Whoever reads what is printed may have had enough, as head(1) has after ten lines: that is no failure."""

from __future__ import annotations

import os
import signal
import sys


def ends_questions() -> None:
    """From now on whoever has no reader left ends without a word, as every filter does (signal(7), SIGPIPE)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def ends_no_build() -> None:
    """From now on a closed pipe or socket is an error like others: a build has more of them than its output."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def as_interrupt() -> KeyboardInterrupt:
    """What a build whose output nobody reads any more ends with, as if it were interrupted: what is done stands."""
    # What could not be written would be tried, and complained of, once more at the end.
    if sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    return KeyboardInterrupt()
