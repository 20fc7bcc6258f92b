"""The companions of ``tokenizer.json``: which token has which role, and on which side texts end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.errors import CheckpointError

__all__ = ["CONFIG_FILE", "SpecialTokens", "read_sides", "read_special_tokens"]

CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ROLES = frozenset({
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Tokens by role.

    Attributes:
        tokens: Role such as ``mask_token`` → token text.
        provenance: Role → file and key.
    """

    tokens: dict[str, str]
    provenance: dict[str, str]


def read_special_tokens(folder: Path) -> SpecialTokens:
    """Return role → token and role → provenance from the two companion files.

    Raises:
        CheckpointError: If they name different tokens for one role, something else than a token,
            or code of the checkpoint's own.
    """
    _refuse_code(read_object(folder, CONFIG_FILE, optional=True))
    tokens: dict[str, str] = {}
    provenance: dict[str, str] = {}
    for name in (CONFIG_FILE, SPECIAL_TOKENS_FILE):
        for role, value in read_object(folder, name, optional=True).values.items():
            if role not in ROLES or value is None:
                continue
            text = _text(name, role, value)
            if tokens.get(role, text) != text:
                raise CheckpointError(
                    f"{folder}: {provenance[role]} says {tokens[role]!r}, {name} says {text!r}; "
                    "save the tokenizer again"
                )
            tokens.setdefault(role, text)
            provenance.setdefault(role, f"{name}: {role}")
    return SpecialTokens(tokens=tokens, provenance=provenance)


def read_sides(document: JsonObject) -> dict[str, str]:
    """Return ``truncation`` and ``padding`` → the side that ``tokenizer.json`` itself names.

    transformers obeys it where ``tokenizer_config.json`` says nothing.

    Raises:
        CheckpointError: If it is no text.
    """
    sides: dict[str, str] = {}
    for key in ("truncation", "padding"):
        part = document.values.get(key)
        if part is None:
            continue
        if not isinstance(part, dict):
            raise CheckpointError(f"{document.name}: {key}: expected an object, got {part!r}")
        named = JsonObject(name=f"{document.name}: {key}", values=part)
        sides[key] = named.text("direction", "Right")
    return sides


def _text(name: str, role: str, value: Any) -> str:
    """Return the text of a token.

    Raises:
        CheckpointError: If it is something else.
    """
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise CheckpointError(f"{name}: {role}: expected a token, got {value!r}")
    return text


def _refuse_code(config: JsonObject) -> None:
    """Return nothing if the tokenizer is one that the libraries have built in.

    Raises:
        CheckpointError: If the config names a class of the checkpoint's own.
    """
    if remote := config.values.get("auto_map"):
        raise CheckpointError(
            f"{config.name}: expected a tokenizer that transformers has built in, got auto_map "
            f"({remote!r}), code of the checkpoint's own, which is not run"
        )
