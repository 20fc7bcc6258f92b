"""What is compared: a vectoriser whose settings can be read, or one of which vectors are known."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint import ReadOptions, StatedFacts, read_dense_checkpoint
from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.checkpoint.dense_folder import dense_signs
from vespa_colbert.checkpoint.folder import read_object
from vespa_colbert.checkpoint.module_list import CONFIG_FILE, MODULES_FILE
from vespa_colbert.diagnose.encoders import GraphEncoder, TorchEncoder
from vespa_colbert.diagnose.settings import IN_GRAPH, Lengths, Padding, Settings
from vespa_colbert.diagnose.tokenization import canonical, special_parts, vocabulary_part
from vespa_colbert.embedder import Role
from vespa_colbert.embedder.tokenizer import open_tokenizer
from vespa_colbert.errors import ArrayError, SpecError
from vespa_colbert.export.dense import DenseFolder, is_dense_folder, read_dense_folder
from vespa_colbert.export.model_folder import EMBEDDER_FILE

__all__ = ["BlackBox", "Side", "WhiteBox", "black_box", "open_side"]

Embed: TypeAlias = Callable[[list[str]], Any]

TOKENIZER_KEYS = {
    "normalizer": "normalizer",
    "vocabulary": "model, pre_tokenizer, added_tokens",
    "specials": "post_processor",
}
VESPA_LENGTH = "embedder.json: dense.max_tokens"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WhiteBox:
    """A vectoriser whose settings are known.

    Attributes:
        name: What reports call it.
        settings: What it does to a text of the role that is looked at.
        origins: Name of a setting → file and key.
        prompts: Instructions that it knows, by name.
        positions: Most tokens that its encoder takes.
        ends: Tokens that may stand before and after a text, empty where it has none.
    """

    name: str
    settings: Settings
    origins: Mapping[str, str]
    prompts: Mapping[str, str] = field(default_factory=dict)
    positions: int = 512
    ends: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlackBox:
    """A vectoriser of which nothing is known but its vectors.

    Attributes:
        name: What reports call it.
        vectors: Of the texts, in order: (text, dim) of any numbers.
        alone: Those of a text given by itself; None where it cannot be asked.
    """

    name: str
    vectors: NDArray[Any]
    alone: Callable[[int], NDArray[Any]] | None = None


Side: TypeAlias = WhiteBox | BlackBox


def open_side(
    given: str,
    texts: Sequence[str],
    role: Role,
    *,
    options: ReadOptions,
    stated: StatedFacts,
) -> Side:
    """Return one side of a comparison.

    Args:
        given: A checkpoint folder, a model folder, a file of vectors (``.npy``), or a function as
            ``package.module:name`` or ``file.py:name``.
        texts: What a function is asked for.
        role: Which instruction is put before texts.
        options: What a reader of checkpoints is allowed.
        stated: Facts of an encoder without modules.json.

    Raises:
        SpecError: If it is none of these, or a model of late interaction.
        ArrayError: If there is not one vector of numbers a text.
    """
    path, (module, _colon, name) = Path(given), given.rpartition(":")
    if path.is_dir():
        return _folder(path, role, options, stated)
    if path.suffix == ".npy":
        return black_box(given, _stored(path), len(texts))
    if module and name.isidentifier():
        embed = _function(module, name)
        vectors = _asked(embed, given, list(texts))
        return black_box(
            given, vectors, len(texts), lambda place: _asked(embed, given, [texts[place]])[0]
        )
    raise SpecError(
        f"{given}: expected a checkpoint folder, a model folder, a file of vectors (.npy), or a "
        "function as package.module:name or file.py:name; found none by that name"
    )


def black_box(
    name: str,
    vectors: NDArray[Any],
    count: int,
    alone: Callable[[int], NDArray[Any]] | None = None,
) -> BlackBox:
    """Return a black box after a look at its vectors.

    Raises:
        ArrayError: If there is not one vector of finite numbers a text.
    """
    if vectors.ndim != 2 or len(vectors) != count or vectors.dtype.kind not in "fiu":
        raise ArrayError(
            f"{name}: expected one vector of numbers for each of {count} texts, got {vectors.dtype}"
            f" {vectors.shape}"
        )
    if vectors.dtype.kind == "f" and not np.isfinite(vectors).all():
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
        raise ArrayError(f"{name}: expected finite values, got NaN or infinity in rows {rows[:5]}")
    return BlackBox(name=name, vectors=vectors, alone=alone)


def _stored(path: Path) -> NDArray[Any]:
    """Return the array in a file.

    Raises:
        SpecError: If there is none.
        ArrayError: If it is no array of numbers.
    """
    if not path.is_file():
        raise SpecError(f"{path}: expected a file of vectors, found none; check the path")
    try:
        stored: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ArrayError(f"{path}: expected one array in numpy's format ({error})") from error
    return stored


def _function(module: str, name: str) -> Embed:
    """Return the function that a user names.

    Raises:
        SpecError: If it cannot be imported.
    """
    try:
        loaded = _script(module) if module.endswith(".py") else importlib.import_module(module)
        found: Embed = getattr(loaded, name)
    except Exception as error:  # a user's code may raise anything
        raise SpecError(
            f"{module}:{name}: expected a function that can be imported "
            f"({type(error).__name__}: {error})"
        ) from error
    return found


def _script(path: str) -> ModuleType:
    """Return the module that a file is.

    Raises:
        ImportError: If there is no such file.
    """
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise ImportError("no such file")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _asked(embed: Embed, name: str, texts: list[str]) -> NDArray[Any]:
    """Return what a user's function gives.

    Raises:
        SpecError: If it fails.
    """
    try:
        return np.asarray(embed(texts))
    except Exception as error:  # a user's code may raise anything
        raise SpecError(
            f"{name}: expected (text, dim) numbers for a list of {len(texts)} texts, the function "
            f"fails ({type(error).__name__}: {error})"
        ) from error


def _folder(path: Path, role: Role, options: ReadOptions, stated: StatedFacts) -> WhiteBox:
    """Return a checkpoint or model folder.

    Raises:
        SpecError: If it is of late interaction or a cross-encoder.
    """
    if is_dense_folder(path):
        return _model_folder(read_dense_folder(path), role)
    if (path / EMBEDDER_FILE).is_file() or (
        (path / MODULES_FILE).is_file() and not dense_signs(path, options)
    ):
        raise SpecError(
            f"{path}: expected a model of one vector a text, got one of late interaction or a "
            "cross-encoder, which diagnose does not take apart; vespa-colbert verify compares "
            "token vectors with Vespa rung by rung, vespa-colbert check looks at a cross-encoder"
        )
    plain = not (path / MODULES_FILE).is_file()
    return _checkpoint(
        read_dense_checkpoint(path, options, stated if plain else StatedFacts()), role
    )


def _checkpoint(read: DenseCheckpoint, role: Role) -> WhiteBox:
    said, document = read.provenance, json.loads(read.tokenizer.text)
    prepend = f"{role}_prepend"
    lengths: Lengths = "1" if read.normalize else "as they are"
    specials = read.tokenizer.special_tokens
    return WhiteBox(
        name=str(read.path),
        settings=Settings(
            instruction=getattr(read, prepend),
            normalizer=canonical(document.get("normalizer")),
            vocabulary=vocabulary_part(document),
            specials=special_parts(document),
            max_tokens=read.max_tokens,
            padding=Padding(pad_id=read.pad_id),
            encoder=TorchEncoder(read),
            pooling=read.pooling,
            projection=read.projection,
            dims=read.dims if read.dims != read.width else None,
            lengths=lengths,
        ),
        origins={
            **_tokenizer_origins(),
            "instruction": said[prepend],
            "max_tokens": said["max_tokens"],
            "truncation_side": "tokenizer_config.json: truncation_side",
            "encoder": "config.json and weights",
            "pooling": said["pooling"],
            "projection": MODULES_FILE,
            "dims": said["dims"],
            "lengths": said["normalize"],
        },
        prompts=_prompts(read),
        positions=read.encoder.positions,
        ends=_ends(specials),
    )


def _model_folder(folder: DenseFolder, role: Role) -> WhiteBox:
    spec = folder.facts
    document = json.loads(folder.tokenizer_path.read_text(encoding="utf-8"))
    cut = open_tokenizer(folder.tokenizer_path, spec.max_tokens).truncation
    by_file = document.get("truncation") is not None
    prepend = f"{role}_prepend"
    texts = {"query": spec.query_prepend, "document": spec.document_prepend}
    known = folder.checkpoint.get("encoder", {})
    width = known.get("hidden_size")
    graph = GraphEncoder(folder.model_path, spec, str(folder.graph.get("dtype", "fp32")))
    lengths: Lengths = "1" if spec.normalize else "as they are"
    return WhiteBox(
        name=str(folder.path),
        settings=Settings(
            # Vespa leaves out an instruction that is all white space.
            instruction=texts[role] if texts[role].strip() else "",
            normalizer=canonical(document.get("normalizer")),
            vocabulary=vocabulary_part(document),
            specials=special_parts(document),
            max_tokens=cut["max_length"],
            truncation_side=cut["direction"],
            encoder=graph,
            pooling=IN_GRAPH if spec.pooling == "none" else (spec.pooling,),
            dims=None if spec.pooling == "none" or spec.dim == width else spec.dim,
            lengths=lengths,
        ),
        origins={
            **_tokenizer_origins(),
            "instruction": f"{EMBEDDER_FILE}: dense.{prepend}",
            "max_tokens": "tokenizer.json: truncation" if by_file else VESPA_LENGTH,
            "truncation_side": "tokenizer.json: truncation.direction",
            "encoder": "model.onnx",
            "pooling": f"{EMBEDDER_FILE}: dense.pooling",
            "projection": "model.onnx",
            "dims": f"{EMBEDDER_FILE}: dense.dim",
            "lengths": f"{EMBEDDER_FILE}: dense.normalize",
        },
        prompts=texts,
        positions=int(known.get("positions") or spec.max_tokens),
    )


def _tokenizer_origins() -> dict[str, str]:
    return {name: f"tokenizer.json: {key}" for name, key in TOKENIZER_KEYS.items()}


def _prompts(read: DenseCheckpoint) -> dict[str, str]:
    """Return every instruction that a checkpoint names."""
    config = read_object(read.path, CONFIG_FILE, optional=True)
    prompts = {name: text or "" for name, text in (config.values.get("prompts") or {}).items()}
    return {**prompts, "query": read.query_prepend, "document": read.document_prepend}


def _ends(specials: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the tokens that stand around a text of encoders."""
    if "cls_token" in specials and "sep_token" in specials:
        return specials["cls_token"], specials["sep_token"]
    return None
