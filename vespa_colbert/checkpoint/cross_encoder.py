"""A folder with a model that reads two texts together and gives one score: a cross-encoder.

It is what ``save_pretrained`` writes of a model of transformers for sequence classification, such
as bge-reranker-v2-m3 (XLM-R) and the MiniLM rerankers trained on MS MARCO (BERT).

Source: PretrainedConfig.num_labels, transformers 5.23; FlagReranker's max_length, FlagEmbedding
1.4.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vespa_colbert.checkpoint.encoder_config import check_config
from vespa_colbert.checkpoint.encoder_files import (
    POSITIONS_START_AFTER_PAD,
    read_encoder,
)
from vespa_colbert.checkpoint.facts import Encoder
from vespa_colbert.checkpoint.folder import (
    JsonObject,
    config_files,
    digests,
    read_object,
    require_folder,
)
from vespa_colbert.checkpoint.module_list import CONFIG_FILE as MODULES_CONFIG_FILE
from vespa_colbert.checkpoint.module_list import MODULES_FILE, TRANSFORMER_TYPES, module_types
from vespa_colbert.checkpoint.options import DEFAULT_OPTIONS, ReadOptions
from vespa_colbert.checkpoint.pair_form import PairForm, read_pair_form
from vespa_colbert.checkpoint.regular_file import is_present
from vespa_colbert.checkpoint.tokenizer_facts import (
    CONFIG_FILE as TOKENIZER_CONFIG_FILE,
)
from vespa_colbert.checkpoint.tokenizer_facts import (
    TOKENIZER_FILE,
    TokenizerFacts,
    read_tokenizer,
)
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import FileDigest

__all__ = [
    "CLASSIFIER",
    "CONFIG_FILE",
    "TOKENIZER_CONFIG_FILE",
    "CrossEncoderCheckpoint",
    "check_architecture",
    "check_labels",
    "check_modules",
    "contradictions",
    "cross_encoder_signs",
    "given_pair",
    "read_cross_encoder_checkpoint",
    "shortest_max_tokens",
]

CONFIG_FILE = "config.json"
CLASSIFIER = "ForSequenceClassification"
"""End of the name of every architecture of transformers that gives one row for a sequence."""
DEFAULT_LABELS = 2
DEFAULT_MAX_TOKENS = 512
TYPES = "token_type_ids"
UNLIMITED = 10**9
"""transformers writes a model_max_length beyond this where a tokenizer has no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderCheckpoint:
    """A cross-encoder as numpy arrays and plain facts.

    Attributes:
        path: The folder it was read from.
        encoder: All weights, the classification head included, and the config.
        tokenizer: ``tokenizer.json`` and what it says.
        pair: How the tokenizer puts two texts together.
        pad_id: Id of padding.
        max_tokens: Most tokens of a pair, special ones included.
        provenance: Name of a fact → file and key it came from, or the default it fell back to.
        files: Name of each file read → sha256 and size.
        warnings: What a reader should know; none of it makes the checkpoint unusable.
    """

    path: Path
    encoder: Encoder
    tokenizer: TokenizerFacts
    pair: PairForm
    pad_id: int
    max_tokens: int
    provenance: Mapping[str, str]
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def gives_types(self) -> bool:
        """Whether token types, for a model that has them, tell the second text from the first."""
        return bool(self.pair.second_type) and self.encoder.config.get("type_vocab_size") != 0


def cross_encoder_signs(folder: Path, _options: ReadOptions) -> str:
    """Return what says that a folder holds a cross-encoder, empty if nothing does.

    Raises:
        CheckpointError: If the config is damaged.
    """
    if not is_present(folder / CONFIG_FILE):
        return ""
    named = read_object(folder, CONFIG_FILE).values.get("architectures")
    if not isinstance(named, list) or not any(str(each).endswith(CLASSIFIER) for each in named):
        return ""
    if is_present(folder / MODULES_FILE) and TRANSFORMER_TYPES.issuperset(module_types(folder)):
        return f"{CONFIG_FILE} names {named[0]}, and {MODULES_FILE} nothing after it"
    if is_present(folder / MODULES_FILE):
        return ""
    return f"{CONFIG_FILE} names {named[0]}"


def read_cross_encoder_checkpoint(
    folder: Path, options: ReadOptions = DEFAULT_OPTIONS, *, max_tokens: int | None = None
) -> CrossEncoderCheckpoint:
    """Return the cross-encoder in a local folder; nothing is looked up in a network.

    Args:
        folder: Has ``config.json``, weights and ``tokenizer.json``.
        options: Says whether the weights may be a torch file.
        max_tokens: Most tokens of a pair, where the user states it.

    Raises:
        CheckpointError: If a file is missing or damaged, the model is of another kind, or its parts
            contradict one another.
    """
    require_folder(folder)
    try:
        return _read(folder, options, max_tokens)
    except CheckpointError as error:
        if str(folder) in str(error):
            raise
        raise type(error)(f"{folder}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read: {error}") from error


def _read(folder: Path, options: ReadOptions, max_tokens: int | None) -> CrossEncoderCheckpoint:
    """Return the cross-encoder in a folder.

    Raises:
        CheckpointError: If it is none, or its parts contradict one another.
    """
    config = read_object(folder, CONFIG_FILE)
    check_config(config)
    check_architecture(config)
    check_labels(config)
    check_modules(folder)
    encoder, weight_files = read_encoder(folder, options)
    settings = read_object(folder, TOKENIZER_CONFIG_FILE, optional=True)
    tokenizer, pair = read_tokenizer(folder), given_pair(folder, settings)
    if faults := [*contradictions(encoder, tokenizer, pair, settings, max_tokens=max_tokens)]:
        raise CheckpointError("; ".join(text for _name, text in faults))
    pad_id, pad_origin = tokenizer.first_special("pad_token")
    length, length_origin = _length(encoder, settings, max_tokens)
    return CrossEncoderCheckpoint(
        path=folder,
        encoder=encoder,
        tokenizer=tokenizer,
        pair=pair,
        pad_id=pad_id,
        max_tokens=length,
        provenance={
            "pair": f"{TOKENIZER_FILE}: post_processor",
            "pad_id": pad_origin,
            "max_tokens": length_origin,
        },
        files=digests(folder, (*weight_files, *config_files({folder}))),
        warnings=tuple(_warnings(encoder, pair)),
    )


def check_architecture(config: JsonObject) -> None:
    """Return nothing if the config names a model for sequence classification.

    Raises:
        CheckpointError: If it names none, or another one.
    """
    named = config.texts("architectures", ())
    if len(named) != 1 or not named[0].endswith(CLASSIFIER):
        raise CheckpointError(
            f"{config.name}: architectures: expected one that ends in {CLASSIFIER}, such as "
            f"XLMRoberta{CLASSIFIER}, got {', '.join(named) or 'none'}; a cross-encoder is saved "
            "by its model's save_pretrained, which writes the name"
        )


def check_labels(config: JsonObject) -> None:
    """Return nothing if the model gives one score.

    Raises:
        CheckpointError: If it gives several, which are classes and no score.
    """
    names = config.values.get("id2label")
    labels = len(names) if isinstance(names, dict) else config.integer("num_labels", DEFAULT_LABELS)
    if labels != 1:
        said = "id2label" if isinstance(names, dict) else config.origin("num_labels", "the default")
        raise CheckpointError(
            f"{config.name}: expected a model with one label, whose logit is the score, got "
            f"{labels} ({said}); train it with num_labels 1"
        )


def check_modules(folder: Path) -> None:
    """Return nothing if sentence-transformers, where it saved the model, does no more than it.

    Raises:
        CheckpointError: If it puts a prompt before texts, or a module behind the model.

    Source: CrossEncoder, sentence-transformers 6.2.0.
    """
    if is_present(folder / MODULES_FILE):
        types = module_types(folder)
        if len(types) != 1 or not TRANSFORMER_TYPES.issuperset(types):
            raise CheckpointError(
                f"{MODULES_FILE}: expected one module, the model, got {', '.join(types)}"
            )
    settings = read_object(folder, MODULES_CONFIG_FILE, optional=True)
    if name := settings.text("default_prompt_name", ""):
        raise CheckpointError(
            f"{MODULES_CONFIG_FILE}: default_prompt_name: expected none, got {name!r}: a prompt "
            "before the texts is not read; put it into the texts and take the name out"
        )


def given_pair(folder: Path, settings: JsonObject) -> PairForm:
    """Return how two texts are put together, with the token types that the library passes on.

    Raises:
        CheckpointError: If ``tokenizer.json`` puts them together in a way that is not known.

    Source: PreTrainedTokenizerBase.model_input_names, transformers 5.23.
    """
    pair = read_pair_form(folder)
    given = settings.texts("model_input_names", (TYPES,))
    return pair if TYPES in given else replace(pair, second_type=0)


def shortest_max_tokens(pair: PairForm) -> int:
    """Return the fewest tokens that leave both texts room."""
    return pair.special_tokens + 2


def contradictions(
    encoder: Encoder,
    tokenizer: TokenizerFacts,
    pair: PairForm,
    settings: JsonObject,
    *,
    max_tokens: int | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield name and text of each point in which parts of a cross-encoder contradict one another.

    Args:
        encoder: Weights and config.
        tokenizer: ``tokenizer.json``.
        pair: How it puts two texts together.
        settings: ``tokenizer_config.json``.
        max_tokens: Most tokens of a pair, where the user states it.
    """
    if (largest := tokenizer.largest_id) >= (rows := encoder.vocabulary_size):
        yield (
            "vocabulary",
            (
                f"expected token ids below {rows} (rows of the token embedding), got {largest} in "
                f"{TOKENIZER_FILE}; the tokenizer is of another model, or grew after the weights "
                "were saved"
            ),
        )
    yield from _pad_faults(encoder, tokenizer)
    types = encoder.config.get("type_vocab_size")
    if isinstance(types, int) and 0 < types <= pair.second_type:
        yield (
            "token-types",
            (
                f"expected a tokenizer with token types below {types} (type_vocab_size of "
                f"{CONFIG_FILE}), got {pair.second_type} for the second text; the tokenizer is of "
                "another model"
            ),
        )
    yield from _length_faults(encoder, pair, settings, max_tokens)


def _pad_faults(encoder: Encoder, tokenizer: TokenizerFacts) -> Iterator[tuple[str, str]]:
    """Yield why padding would not be taken for padding."""
    if (token := tokenizer.special_tokens.get("pad_token")) is None:
        yield (
            "pad-id",
            f"{TOKENIZER_CONFIG_FILE}: expected a pad_token, got none; save the tokenizer again",
        )
        return
    known = tokenizer.vocabulary.get(token)
    stated = encoder.config.get("pad_token_id")
    if known is None:
        yield (
            "pad-id",
            (
                f"{tokenizer.provenance['pad_token']}: expected a token of {TOKENIZER_FILE}, got "
                f"{token!r}"
            ),
        )
    elif stated is not None and stated != known:
        why = (
            ", and this model numbers positions by it"
            if encoder.model_type in POSITIONS_START_AFTER_PAD
            else ""
        )
        yield (
            "pad-id",
            (
                f"expected one id of padding, got {stated} in {CONFIG_FILE} (pad_token_id) and "
                f"{known} in {TOKENIZER_FILE} ({token!r}){why}; config and tokenizer are of "
                "different models"
            ),
        )


def _length_faults(
    encoder: Encoder, pair: PairForm, settings: JsonObject, max_tokens: int | None
) -> Iterator[tuple[str, str]]:
    """Yield why the model has too few positions."""
    length, origin = _length(encoder, settings, max_tokens)
    least = shortest_max_tokens(pair)
    limit = _stated_limit(settings) if max_tokens is None else length
    if limit is not None and limit > encoder.positions:
        yield (
            "positions",
            (
                f"{origin}: expected at most {encoder.positions} tokens, as many as the encoder "
                f"has positions, got {limit}; state fewer with --max-tokens"
            ),
        )
    elif length < least:
        yield (
            "positions",
            (
                f"{origin}: expected {least} tokens or more, so that both texts have room beside "
                f"{pair.special_tokens} special ones, got {length}"
            ),
        )


def _stated_limit(settings: JsonObject) -> int | None:
    """Return the tokenizer's own limit, if it has one."""
    limit = settings.values.get("model_max_length")
    if not isinstance(limit, int | float) or limit >= UNLIMITED:
        return None
    return int(limit)


def _length(encoder: Encoder, settings: JsonObject, max_tokens: int | None) -> tuple[int, str]:
    """Return the most tokens of a pair, and where that comes from."""
    if max_tokens is not None:
        return max_tokens, "stated"
    limits = {
        DEFAULT_MAX_TOKENS: "default of FlagEmbedding",
        encoder.positions: f"positions of {CONFIG_FILE}",
    }
    if (limit := _stated_limit(settings)) is not None:
        limits[limit] = f"{TOKENIZER_CONFIG_FILE}: model_max_length"
    least = min(limits)
    return least, limits[least]


def _warnings(encoder: Encoder, pair: PairForm) -> Iterator[str]:
    if narrow := [dtype for dtype in encoder.dtypes if dtype != "F32"]:
        yield f"weights stored as {', '.join(narrow)} are computed with in float32"
    doubled = encoder.model_type in POSITIONS_START_AFTER_PAD
    if doubled != (pair.separators > 1):
        yield (
            f"{TOKENIZER_FILE} puts {pair.separators} separator{'s' * (pair.separators > 1)} "
            f"between two texts, {encoder.model_type} models are mostly trained with "
            f"{2 if doubled else 1}"
        )
