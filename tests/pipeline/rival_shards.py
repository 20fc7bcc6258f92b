"""Processes that embed the shards of one corpus at once, round by round.

Reads one JSON request from stdin, writes one JSON answer to stdout; run by test_embed_killed.py.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
from pathlib import Path

from tests.killed_processes import fork
from tests.pipeline.embedded_corpora import install, request
from tests.pipeline.killed_embeds import state
from vespa_colbert.pipeline.shards import Shard
from vespa_colbert.pipeline.shards import embed as embed_index


def main() -> None:
    asked = json.load(sys.stdin)
    install(window=100)
    given = request(Path(asked["corpus"]), Path(asked["output"]))
    found = []
    for _ in range(asked["rounds"]):
        shutil.rmtree(given.output, ignore_errors=True)
        shards = [Shard(number=place + 1, of=asked["shards"]) for place in range(asked["shards"])]
        children = [fork(functools.partial(embed_index, given, each)) for each in shards]
        codes = [os.waitpid(child, 0)[1] for child in children]
        left = sorted(each.name for each in given.output.parent.iterdir())
        found.append([codes, state(given.output, asked["documents"]), left])
    json.dump({"rounds": found}, sys.stdout)


if __name__ == "__main__":
    main()
