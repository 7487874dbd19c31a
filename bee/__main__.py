"""Lets `python3 -m bee` and the one-file bee start the command line."""

from __future__ import annotations

import sys

from bee.cli import main

sys.exit(main())
