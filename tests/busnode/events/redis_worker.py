"""A worker that is there to be killed: it applies each request to its node once, as nodes do, and answers.

redis_worker.py URL FOLDER
"""

from __future__ import annotations

import fcntl
import sys
import time
from pathlib import Path

from busnode.events import engine, redis_inbox
from busnode.events.envelope import Envelope, parse, response_to
from busnode.services.worker import Worker

NAMES = ("bus.node.harden.request", "bus.node.status.request")


def main(url: str, folder: Path) -> None:
    redis_inbox.CLAIM_SECONDS = 2.0

    def apply(text: bytes) -> Envelope:
        request = parse(text)
        with (folder / f"{request.payload['node_id']}.applied").open("a+") as file:
            # The node's lock and its record of what it has done.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            number = str(request.payload["number"])
            if number not in file.read().split():
                time.sleep(0.02)
                file.write(f"{number}\n")
        return response_to(request, {"ok": True, "number": request.payload["number"]})

    bus = engine.connect(url, {})
    Worker("node", bus.inbox(NAMES, group="g"), apply, apply, 2, lambda *_, **__: None).start()
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
