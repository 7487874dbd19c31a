"""bee's command line. `--version` answers before anything else is imported: at boot and in scripts start-up counts."""

# ruff: noqa: PLC0415 - each command imports what it alone needs, and no pathlib: start-up counts

from __future__ import annotations

import sys

from bee import __version__

# typing's import would take as long as all the rest of `bee --version`; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OK, INVALID, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `bee` with `arguments` (sys.argv's by default); returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words in (["--version"], ["-V"]):
            print(f"bee {__version__}", flush=True)
            return OK
        return _run(words)
    except KeyboardInterrupt:
        from bee import interruption

        interruption.over()
        print("bee: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        from bee import streams

        streams.silence(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        print(f"bee: cannot write to stdout: {error.strerror or error}", file=sys.stderr)
        return USAGE


def _run(words: list[str]) -> int:
    from bee import arguments, streams
    from bee.errors import BadInputError

    streams.open_closed()
    try:
        parsed = arguments.parser().parse_args(words)
        code: int = parsed.command(parsed)
        sys.stdout.flush()
    except BadInputError as error:
        print(f"bee: {error}", file=sys.stderr)
        return USAGE
    return code
