"""A signal ends bee in order, also where Python itself loses the exception that it raises."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bee.test_cli import ROOT

IN_A_FINALISER = """
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
Dying()
"""
IN_PLACE = "os.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize("signalled", [IN_A_FINALISER, IN_PLACE])
def test_an_interruption_that_is_lost_is_raised_again_and_never_in_the_clean_up(signalled: str) -> None:
    code = f"""
import os, signal, time
from bee import interruption
interruption.end_in_order()
try:
    try:
{"".join(f"        {line}" + chr(10) for line in signalled.splitlines())}
        time.sleep(20)
    finally:
        time.sleep(2.5)
        print("cleaned up")
except KeyboardInterrupt:
    interruption.over()
    time.sleep(1.5)
    print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "cleaned up\nended\n"), done.stderr
