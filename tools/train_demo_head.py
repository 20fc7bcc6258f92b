"""Train a head for the demo's encoder.

Usage: python tools/train_demo_head.py DATA [-o FOLDER] [--work FOLDER] [--seed N]

DATA is a folder with collections in BEIR's form and the training rows made of them; what it has
to hold is said where it does not. Head and card go to output/demo-head/head, or to the folder
given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vespa_colbert.cli.console import Console, fail, print_line
from vespa_colbert.demo import checkpoint
from vespa_colbert.demo.training import missing_files, train_demo_head
from vespa_colbert.errors import VespaColbertError

USAGE = """train-demo-head: name the folder of collections: make train-demo-head DATA=FOLDER
It has to hold, in BEIR's form, a folder for each collection (corpus.jsonl, queries.jsonl), and
train/NAME.jsonl with {"query_id", "pos_id", "neg_ids"} a line:
"""


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description="Train a head for the demo's encoder.")
    parser.add_argument("data", type=Path, nargs="?", help="Folder of collections.")
    parser.add_argument("-o", "--output", type=Path, default=Path("output/demo-head/head"))
    parser.add_argument("--work", type=Path, default=Path("output/demo-head"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    absent = missing_files(given.data)
    if absent:
        fail(USAGE + "\n".join(f"  absent: {each}" for each in absent))
        return 2
    try:
        head = train_demo_head(
            given.data, given.work, given.output, seed=given.seed, reporter=Console()
        )
    except VespaColbertError as error:
        fail(str(error))
        return 1
    print_line(f"{head}: trained; its card is {checkpoint.HEAD_CARD} beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
