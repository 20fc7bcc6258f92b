"""Damages of files as such, whatever they hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.checkpoint.damage_cases import case
from tests.checkpoint.damages import (
    CONFIG,
    TOKENIZER_CONFIG,
    as_folder,
    as_huge_file,
    as_link,
    as_pipe,
    bytes_changed,
    content,
    literal,
    removed,
)
from tests.checkpoint.layout_folders import (
    LayoutFiles,
)


def emptied(folder: Path, _files: LayoutFiles) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def nested_twice(folder: Path, files: LayoutFiles) -> None:
    whole = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(whole.replace("{", '{"hidden_size": 16, ', 1))


FILE_DAMAGES = (
    case("empty folder", emptied, "got a folder with nothing"),
    case("config missing", removed(CONFIG), "config.json", "got none"),
    case("config a folder", as_folder(CONFIG), "config.json", "a folder"),
    case("config a pipe", as_pipe(CONFIG), "config.json", "neither a file nor a folder"),
    case("config a link to nothing", as_link(CONFIG, "gone"), "config.json", "link to nothing"),
    case("config a link to itself", as_link(CONFIG, CONFIG), "config.json", "link to nothing"),
    case("config a device", as_link(CONFIG, "/dev/zero"), "config.json", "neither a file"),
    case("config of ten gigabytes", as_huge_file(CONFIG), "config.json", "10737418240 bytes"),
    case("config empty", content(CONFIG, b""), "config.json", "empty file"),
    case("config cut", bytes_changed(CONFIG, lambda b: b[:-9]), "config.json", "expected JSON"),
    case("config zeros", bytes_changed(CONFIG, lambda b: bytes(len(b))), "config.json", "JSON"),
    case(
        "config with a byte order mark",
        bytes_changed(CONFIG, lambda b: b"\xef\xbb\xbf" + b),
        *("config.json", "BOM"),
    ),
    case(
        "config in UTF-16",
        bytes_changed(CONFIG, lambda b: b.decode().encode("utf-16")),
        *("config.json", "utf-8"),
    ),
    case("config in Latin-1", content(CONFIG, b'{"a": "\xe9"}'), "config.json", "utf-8"),
    case("config a page", content(CONFIG, b"<html>404</html>"), "config.json", "expected JSON"),
    case("config a list", content(CONFIG, b"[]"), "config.json", "JSON object", "list"),
    case("config null", content(CONFIG, b"null"), "config.json", "JSON object", "NoneType"),
    case("config deep", content(CONFIG, b"[" * 100_000), "config.json", "expected JSON"),
    case("config with NaN", literal(CONFIG, "eps", "NaN"), "config.json", "NaN"),
    case("config with -Infinity", literal(CONFIG, "eps", "-Infinity"), "config.json", "-Infinity"),
    case("number beyond floats", literal(CONFIG, "eps", "1e999"), "config.json", "1e999"),
    case("endless number", literal(CONFIG, "hidden_size", "9" * 5000), "config.json", "digits"),
    case("half a character", literal(CONFIG, "name", '"\\ud83d"'), "config.json", "surrogates"),
    case("config says a thing twice", nested_twice, "config.json", "'hidden_size' twice"),
    case("tokenizer config a list", content(TOKENIZER_CONFIG, b"[]"), TOKENIZER_CONFIG, "list"),
    case("tokenizer config a folder", as_folder(TOKENIZER_CONFIG), TOKENIZER_CONFIG, "a folder"),
    case(
        "tokenizer config a link to nothing",
        as_link(TOKENIZER_CONFIG, "gone"),
        *(TOKENIZER_CONFIG, "link to nothing"),
    ),
    case(
        "special tokens a link to nothing",
        as_link("special_tokens_map.json", "gone"),
        *("special_tokens_map.json", "link to nothing"),
    ),
)
