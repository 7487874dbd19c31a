from pathlib import Path

# What tools printed, written by hand from their documented formats.
RECORDINGS = Path(__file__).parent / "recordings"
