"""What a service tells its journal: one JSON object a line on standard error, never a payload."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime

from busnode.console import told

_lock = threading.Lock()


def say(service: str, event: str, **fields: object) -> None:
    """One line: what happened, with the correlation id and what else tells it from others."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"at": at, "service": service, "event": event, **fields}, ensure_ascii=True, default=str)
    with _lock, told():
        print(line, file=sys.stderr, flush=True)
