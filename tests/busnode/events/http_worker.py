"""A worker that ends at once where it is asked for the poison, and is told where it is asked for that too often.

http_worker.py URL
"""

from __future__ import annotations

import os
import sys
import time

from busnode.events import engine, http_inbox
from busnode.events.envelope import Envelope, parse, response_to
from busnode.services.worker import Worker

NAMES = ("bus.node.status.request",)


def main(url: str) -> None:
    http_inbox.SETTLE_SECONDS = 0.3

    def handle(text: bytes) -> Envelope:
        if parse(text).correlation_id == "n-poison":
            os._exit(9)
        return response_to(parse(text), {"ok": True})

    def set_aside(text: bytes) -> Envelope:
        return response_to(parse(text), {"error_class": "bad_request", "attempt": 4})

    Worker("node", engine.connect(url, os.environ).inbox(NAMES, group="g"), handle, set_aside, 2).start()
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
