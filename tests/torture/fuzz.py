"""Coverage-guided fuzzing of one parser with atheris; libFuzzer's own output says how far it came.

python -m tests.torture.fuzz PARSER --seed N --seconds S --corpus FOLDER --findings FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path
from random import Random

import atheris

from tests.torture.mutations import mutate

with atheris.instrument_imports(include=["bee"]):
    from tests.bee.parser_cases import CASES
    from tests.torture.oracle import trouble

_LONGEST = 64 * 1024
# Traced code is several times as slow as code alone; how time grows is another unit's question.
_SECONDS = 2.0


def main() -> int:
    """Fuzz until the time is up. What is found is said once for each place in the code, and the fuzzing goes on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CASES)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="what was interesting; kept between runs")
    parser.add_argument("--findings", type=Path, required=True, help="gets an input for each finding")
    arguments = parser.parse_args()
    target = CASES[arguments.name]
    for folder in (arguments.corpus, arguments.findings):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for seed in seeds:
        (arguments.corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed[:_LONGEST])
    said: set[str] = set()

    def test_one_input(data: bytes) -> None:
        wrong = trouble(target.parse, target.returns, data, _SECONDS)
        if wrong is not None and (kind := re.sub(r"[0-9.]+ s for [0-9]+", "", wrong).split(":")[0]) not in said:
            said.add(kind)
            (arguments.findings / hashlib.sha1(data).hexdigest()).write_bytes(data)
            print(f"FINDING {wrong}", flush=True)

    def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return atheris.Mutate(data, max_size)
        return mutate(data, seed, as_json=target.json, other=random.choice(seeds), longest=max_size)

    options = {
        "seed": arguments.seed % (1 << 31) or 1,
        "max_total_time": max(1, round(arguments.seconds)),
        "max_len": _LONGEST,
        "rss_limit_mb": 2048,
        "print_final_stats": 1,
        "artifact_prefix": f"{arguments.findings}/",
    }
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(arguments.corpus)], test_one_input, custom_mutator=custom_mutator)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
