"""`python3 -m iso.fit SETTING=VALUE...`: whether a build can be made of this checkout, where nothing is installed.

Says everything that is wrong, a line each, with exit status 2: `build-in-container.sh` asks it first.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iso.errors import BadInputError
from iso.paths import Paths
from iso.versions import load

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYS = "--authorized-keys"
# What is in these files only the container can tell where this machine lacks the program.
_JUDGES = {"sign_key": "openssl", "sign_cert": "openssl", "release_key": "ssh-keygen"}


def main(words: Sequence[str]) -> int:
    """Say what is wrong with the settings, VERSIONS and the vendors' programs.

    Args:
        words: the command line of `build-in-container.sh`.

    Returns:
        The exit status.
    """
    given = {key: value for key, value in settings(words).items() if shutil.which(_JUDGES.get(key, "sh"))}
    try:
        load(Paths.of(Path(__file__).parents[1]), given)
    except BadInputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def settings(words: Sequence[str]) -> dict[str, str]:
    """The settings of a command line; what is none is left out.

    Args:
        words: SETTING=VALUE, --authorized-keys FILE or --authorized-keys=FILE.
    """
    found = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == _KEYS and waiting:
            word = f"{_KEYS}={waiting.pop(0)}"
        key, mark, value = word.partition("=")
        if mark and key:
            found["authorized_keys" if key == _KEYS else key] = value
    return {key: value for key, value in found.items() if not key.startswith("-")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
