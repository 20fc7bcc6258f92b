"""Tiny late-interaction checkpoints of many encoder families, each with a tokenizer of its kind.

Encoders have random weights. Tokenizers are trained here on a few sentences and have the model,
the special tokens and the post-processor that the family's files have.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tiny_checkpoint import DENSE, DIM, HIDDEN, MODULES, SETTINGS, write_json

POSITIONS = 48
QUERY_TOKENS, DOCUMENT_TOKENS = 12, 40
MARKERS = ("[Q] ", "[D] ")
CORPUS = (
    "What is a rose? A rose is a rose is a rose.",
    "The quick brown fox jumps over the lazy dog, and the dog does not care at all.",
    "Vespa ranks documents: it sums the maxima of dot products (late interaction).",
    "Pack my box with five dozen liquor jugs; how vexingly quick daft zebras jump!",
    "L'été à Paris, le café est cher. Wie hoch ist der Berg? 富士山は高い。",
    "In 1450 Gutenberg printed with movable type: 42 lines a page, 180 copies.",
    string.punctuation,
)

# The encoders are as small as their rules allow: two layers, two heads, 16 components.
COMMON: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
# Positions from padding_idx + 1.
SHIFTED: dict[str, Any] = {
    **COMMON,
    "pad_token_id": 1,
    "max_position_embeddings": POSITIONS + 2,
    "type_vocab_size": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An encoder architecture and the tokenizer that comes with it.

    Attributes:
        model_type: As config.json calls it.
        config: What differs from the defaults of its configuration.
        tokenizer: Makes the tokenizer, markers not yet added.
        special: Role → token.
    """

    model_type: str
    config: Mapping[str, Any]
    tokenizer: Callable[[], Any]
    special: Mapping[str, str] = field(default_factory=dict)


def build_family(family: Family, folder: Path, **settings: object) -> Path:
    """Return ``folder`` with a PyLate checkpoint of a family.

    Args:
        family: What to build.
        folder: Where; must not exist.
        settings: What differs from the usual PyLate settings; ``query_prefix=""`` for no marker.
    """
    import torch
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    values = {
        **SETTINGS,
        "query_prefix": MARKERS[0],
        "document_prefix": MARKERS[1],
        "query_length": QUERY_TOKENS,
        "document_length": DOCUMENT_TOKENS,
        **settings,
    }
    tokenizer = family.tokenizer()
    tokenizer.add_tokens([text for text in MARKERS if text in values.values()])
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {**family.special, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", described)
    torch.manual_seed(5)
    config = transformers.AutoConfig.for_model(
        family.model_type, vocab_size=tokenizer.get_vocab_size(), **family.config
    )
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # No bias stays 0 and no scale stays 1: a forgotten one would show.
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    (folder / "1_Dense").mkdir()
    weight = torch.randn(DIM, HIDDEN)
    save_file({"linear.weight": weight}, folder / "1_Dense" / "model.safetensors")
    write_json(folder / "1_Dense" / "config.json", DENSE)
    write_json(folder / "modules.json", MODULES)
    write_json(folder / "config_sentence_transformers.json", values)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS})
    return folder


def _word_pieces(specials: Mapping[str, str], *, roberta: bool = False) -> Any:
    """Return a WordPiece tokenizer as BERT has it, or as MPNet: post-processor of RoBERTa."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=specials["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens = list(dict.fromkeys(specials.values()))
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(vocab_size=230, special_tokens=tokens, show_progress=False),
    )
    start, end = specials["cls_token"], specials["sep_token"]
    if roberta:
        tokenizer.post_processor = processors.RobertaProcessing(
            (end, _id(tokenizer, end)), (start, _id(tokenizer, start))
        )
    else:
        tokenizer.post_processor = _template(tokenizer, f"{start} $A {end}")
    return tokenizer


def _byte_pairs(
    specials: Mapping[str, str], template: str | None, *, normal_form: bool = False
) -> Any:
    """Return a byte-level BPE tokenizer.

    Args:
        specials: Role → token.
        template: What is put around a text: a template, None for nothing, ``roberta`` for
            the processor of that name.
        normal_form: Whether texts are brought to Unicode's form C.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    if normal_form:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=380,
            special_tokens=list(dict.fromkeys(specials.values())),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    trimmed = processors.ByteLevel(trim_offsets=False)
    if template is None:
        tokenizer.post_processor = trimmed
    elif template == "roberta":
        start, end = specials["cls_token"], specials["sep_token"]
        tokenizer.post_processor = processors.RobertaProcessing(
            (end, _id(tokenizer, end)), (start, _id(tokenizer, start)), add_prefix_space=False
        )
    else:
        tokenizer.post_processor = processors.Sequence([trimmed, _template(tokenizer, template)])
    return tokenizer


def _pieces(specials: Mapping[str, str], tokens: tuple[str, ...], template: str) -> Any:
    """Return a Unigram tokenizer with Metaspace, as SentencePiece models become."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKC(),
        normalizers.Replace(Regex(" {2,}"), " "),
    ])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=170,
            special_tokens=list(tokens),
            unk_token=specials["unk_token"],
            show_progress=False,
        ),
    )
    tokenizer.post_processor = _template(tokenizer, template)
    return tokenizer


def _template(tokenizer: Any, template: str) -> Any:
    from tokenizers import processors

    tokens = [piece for piece in template.split() if piece != "$A"]
    return processors.TemplateProcessing(
        single=template, special_tokens=[(token, _id(tokenizer, token)) for token in tokens]
    )


def _id(tokenizer: Any, token: str) -> int:
    return int(tokenizer.token_to_id(token))


def _modern_bert() -> Any:
    """Return the tokenizer, with its tokens for runs of spaces and a mask that eats a space."""
    from tokenizers import AddedToken

    tokenizer = _byte_pairs(BERT_TOKENS, "[CLS] $A [SEP]", normal_form=True)
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken(" " * count, normalized=True) for count in (4, 3, 2)])
    return tokenizer


BERT_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
MPNET_TOKENS = {**ROBERTA_TOKENS, "unk_token": "[UNK]"}
DEBERTA_TOKENS = {
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
QWEN_TOKENS = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
LFM_TOKENS = {
    "pad_token": "<|pad|>",
    "bos_token": "<|startoftext|>",
    "eos_token": "<|im_end|>",
}

BERT_CONFIG = {**COMMON, "max_position_embeddings": POSITIONS, "pad_token_id": 0}
DECODER_CONFIG: dict[str, Any] = {
    **COMMON,
    "num_key_value_heads": 1,
    "max_position_embeddings": POSITIONS,
}
LFM_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LFM_CONFIG: dict[str, Any] = {
    **DECODER_CONFIG,
    **LFM_IDS,
    # A short convolution, then attention.
    "full_attn_idxs": [1],
    "conv_L_cache": 3,
    "block_multiple_of": 8,
}

FAMILIES = {
    "bert": Family(
        model_type="bert",
        config=BERT_CONFIG,
        tokenizer=lambda: _word_pieces(BERT_TOKENS),
        special=BERT_TOKENS,
    ),
    "distilbert": Family(
        model_type="distilbert",
        config={
            "dim": HIDDEN,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 32,
            "max_position_embeddings": POSITIONS,
        },
        tokenizer=lambda: _word_pieces(BERT_TOKENS),
        special=BERT_TOKENS,
    ),
    "electra": Family(
        model_type="electra",
        # The embedding is narrower than the layers, as in ELECTRA small.
        config={**BERT_CONFIG, "embedding_size": 8},
        tokenizer=lambda: _word_pieces(BERT_TOKENS),
        special=BERT_TOKENS,
    ),
    "mpnet": Family(
        model_type="mpnet",
        config={**COMMON, "pad_token_id": 1, "max_position_embeddings": POSITIONS + 2},
        tokenizer=lambda: _word_pieces(MPNET_TOKENS, roberta=True),
        special=MPNET_TOKENS,
    ),
    "roberta": Family(
        model_type="roberta",
        config=SHIFTED,
        tokenizer=lambda: _byte_pairs(ROBERTA_TOKENS, "roberta"),
        special=ROBERTA_TOKENS,
    ),
    "xlm-roberta": Family(
        model_type="xlm-roberta",
        config=SHIFTED,
        tokenizer=lambda: _pieces(ROBERTA_TOKENS, tuple(ROBERTA_TOKENS.values()), "<s> $A </s>"),
        special=ROBERTA_TOKENS,
    ),
    "camembert": Family(
        model_type="camembert",
        config=SHIFTED,
        tokenizer=lambda: _pieces(
            ROBERTA_TOKENS,
            (
                "<s>NOTUSED",
                "<pad>",
                "</s>NOTUSED",
                "<unk>",
                "<unk>NOTUSED",
                "<s>",
                "</s>",
                "<mask>",
            ),
            "<s> $A </s>",
        ),
        special=ROBERTA_TOKENS,
    ),
    "deberta-v2": Family(
        model_type="deberta-v2",
        config={
            **COMMON,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
            "type_vocab_size": 0,
            # As in DeBERTa-v3.
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "max_relative_positions": -1,
        },
        tokenizer=lambda: _pieces(DEBERTA_TOKENS, tuple(DEBERTA_TOKENS.values()), "[CLS] $A [SEP]"),
        special=DEBERTA_TOKENS,
    ),
    "modernbert": Family(
        model_type="modernbert",
        # The second and third layer attend within 4 tokens to each side.
        config={
            **COMMON,
            "num_hidden_layers": 3,
            "max_position_embeddings": POSITIONS,
            "local_attention": 8,
            "global_attn_every_n_layers": 3,
            "pad_token_id": 0,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        tokenizer=_modern_bert,
        special=BERT_TOKENS,
    ),
    "qwen3": Family(
        model_type="qwen3",
        config={**DECODER_CONFIG, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1},
        tokenizer=lambda: _byte_pairs(QWEN_TOKENS, None, normal_form=True),
        special=QWEN_TOKENS,
    ),
    "qwen3-eos": Family(
        model_type="qwen3",
        config={**DECODER_CONFIG, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1},
        tokenizer=lambda: _byte_pairs(QWEN_TOKENS, "$A <|endoftext|>", normal_form=True),
        special=QWEN_TOKENS,
    ),
    "qwen3-bos-eos": Family(
        model_type="qwen3",
        config={**DECODER_CONFIG, **LFM_IDS, "head_dim": 8},
        tokenizer=lambda: _byte_pairs(
            LFM_TOKENS, "<|startoftext|> $A <|im_end|>", normal_form=True
        ),
        special=LFM_TOKENS,
    ),
    "lfm2": Family(
        model_type="lfm2",
        config=LFM_CONFIG,
        tokenizer=lambda: _byte_pairs(LFM_TOKENS, "<|startoftext|> $A"),
        special=LFM_TOKENS,
    ),
    "lfm2-bos-eos": Family(
        model_type="lfm2",
        config=LFM_CONFIG,
        tokenizer=lambda: _byte_pairs(LFM_TOKENS, "<|startoftext|> $A <|im_end|>"),
        special=LFM_TOKENS,
    ),
}
"""Eleven architectures; decoders of one name differ in what is put around a text."""
