"""Being told to end: a terminated or hung-up audit ends as an interrupted one does, its tools taken down with it."""

from __future__ import annotations

import signal
import sys

_NUMBERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_AGAIN_SECONDS = 1.0


def end_in_order() -> None:
    """From now on the first of the signals raises KeyboardInterrupt, and the others are ignored.

    One that is ignored already stays so: nohup(1) ignores a hang-up, a shell Ctrl-C for what runs in its background.
    """
    signal.signal(signal.SIGALRM, _interrupt)
    for number in _NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def over() -> None:
    """It has arrived where it was meant to."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(*_: object) -> None:
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    # Where Python cannot pass an exception on (in a finaliser, a callback) it is lost: then it is raised once more.
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
        raise KeyboardInterrupt
