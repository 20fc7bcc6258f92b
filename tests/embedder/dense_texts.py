"""Texts on which vectors are compared: adversarial ones, and articles in several languages."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["judged_texts"]

CHINESE, ENGLISH = 100, 68


def judged_texts(collections: Path) -> list[str]:
    """Return 500 texts that are Unicode: constructed ones, Chinese and English passages."""
    lines = (collections / "adversarial" / "constructed.jsonl").read_text("utf-8").splitlines()
    made = [json.loads(line)["text"] for line in lines]
    for name, count in (("cmrc2018", CHINESE), ("scifact", ENGLISH)):
        with (collections / name / "corpus.jsonl").open(encoding="utf-8") as stream:
            made += [json.loads(next(stream))["text"] for _ in range(count)]
    return [text for text in made if text.encode("utf-8", "ignore").decode() == text]
