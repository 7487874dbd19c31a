"""Which sources Python compiles while the one-file bee runs: pieces of Python for the interpreter that runs it.

They need nothing around them, so that the live CD runs them as this machine does.
"""

from __future__ import annotations

# Takes the program and its arguments; the last line on stderr names what was compiled.
WATCHED = """
import runpy, sys
compiled = []
sys.addaudithook(lambda event, details: compiled.append(str(details[1])) if event == "compile" else None)
program, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_path(program, run_name="__main__")
finally:
    print(*[name for name in compiled if name.endswith(".py")], file=sys.stderr)
"""
# Takes the program and the place of a copy: one whose compiled code is another version's.
OTHER_VERSION = """
import importlib.util, pathlib, sys
content = pathlib.Path(sys.argv[1]).read_bytes()
# The number of the version stands before the flags of a .pyc file that never asks for its source.
ours = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
assert ours in content
pathlib.Path(sys.argv[2]).write_bytes(content.replace(ours, bytes(2) + ours[2:]))
"""


def compiled(stderr: str) -> list[str]:
    """The sources that WATCHED saw being compiled, from what it printed; Python may tell of one more than once."""
    return sorted(set(stderr.splitlines()[-1].split()))
