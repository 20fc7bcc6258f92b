"""Texts that judges and Vespa's embedder are compared on."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

__all__ = [
    "DOCUMENTS",
    "QUERIES",
    "adversarial_texts",
    "lone_punctuation_texts",
    "without_lone_punctuation",
    "without_punctuation",
]

QUERIES = (
    *(
        "",
        " ",
        "rose",
        "what is a rose?",
        "?!",
        "is a fox (or a dog) quick?",
        "ROSE's",
        "C++ or C#",
    ),
    *("why is the sky blue; who says so?", "x y z " * 12, "日本 rose。", "🦊 is?", "é e\u0301 İ"),
    *("\u200b", "\t rose \n", "3.14 * 2 = 6.28", "which words, of these: a, b, c..."),
)
"""Of one row and of more than fit, with and without punctuation, white space and other scripts."""

DOCUMENTS = (
    *QUERIES,
    "a rose is a rose. is it a rose? it is!",
    "!!! ??? ... --- ;;; ,,, ::: (((",
    "The quick brown fox (vulpes vulpes) jumps over a lazy dog; it is not seen again.",
    "ab. cd, ef; gh: ij! kl? (mn) [op] {qr} <st> 'uv' \"wx\" yz",
    "x" * 120,
    "rose, " * 200,
    "Air scatters short wavelengths of sunlight more than long ones. " * 12,
    "the fox is as quick as a fox that is quick",
    "富士山は日本で一番高い山",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3,
)

# Tokens of the judged tokenizers that stand alone wherever a text spells them out.
SPELLED_OUT = re.compile(r"(\[(?:PAD|UNK|CLS|SEP|MASK|unused\d)\]|</?s>|<(?:pad|unk|mask)>)")


def adversarial_texts(collections: Path) -> tuple[str, ...]:
    """Return the texts that were collected to break tokenizers, less those with lone punctuation.

    That is the one point in which exact files differ from the library, as each of them says: a text
    of one ASCII punctuation character, or such a stretch beside a special token, as in [[MASK]].
    """
    texts = _collected(collections)
    return tuple(text for text in texts if without_lone_punctuation(text) == text)


def lone_punctuation_texts(collections: Path) -> tuple[str, ...]:
    """Return those that ``adversarial_texts`` leaves out."""
    texts = _collected(collections)
    return tuple(text for text in texts if without_lone_punctuation(text) != text)


def _collected(collections: Path) -> tuple[str, ...]:
    folder = collections / "adversarial"
    lines = (folder / "constructed.jsonl").read_text(encoding="utf-8").splitlines()
    constructed = [json.loads(line)["text"] for line in lines]
    naughty = json.loads((folder / "blns" / "blns.json").read_text(encoding="utf-8"))
    return tuple(dict.fromkeys((*constructed, *naughty)))


def without_lone_punctuation(text: str) -> str:
    """Return what exact files let the encoder see of a text."""
    stretches = SPELLED_OUT.split(text)
    return "".join(each for each in stretches if each not in set(string.punctuation))


def without_punctuation(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts in which Vespa's embedder has nothing to drop."""
    return tuple(text for text in texts if not set(text) & set(string.punctuation))
