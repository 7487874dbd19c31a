"""Secrets that a test looks for where they do not belong, in whatever form they came there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def found_in(data: bytes, secrets: Mapping[str, bytes]) -> list[str]:
    """The names of those that are in it, as they are or as JSON, hexadecimal digits and base64 have them."""
    return [name for name, secret in secrets.items() if any(form in data for form in _forms(secret))]


def _forms(secret: bytes) -> set[bytes]:
    # In base64 a text looks in three ways, by where it begins; its ends are its neighbours', too.
    encoded = {base64.b64encode(secret[skip:]).rstrip(b"=")[:-1] for skip in range(3)}
    return {secret, json.dumps(secret.decode())[1:-1].encode(), secret.hex().encode(), *encoded}
