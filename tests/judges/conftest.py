from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.judges.judge_texts import adversarial_texts
from tests.tiny_checkpoint import LETTERS, write_json
from vespa_colbert.vespa_java import VespaJava

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MARKERS = ("[QueryMarker]", "[DocumentMarker]")
WORDS = ("▁rose", "▁is", "▁the", "▁quick", "▁fox", "▁!", "▁(", "▁.", "...", "ing")
PIECES = (
    *SPECIALS,
    *("▁", *WORDS, *".,?!()-':;\"", *LETTERS, *(f"▁{letter}" for letter in LETTERS)),
    *"日本狐é0123456789",
    "<mask>",
    *MARKERS,
)


@pytest.fixture(scope="session")
def java() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=60.0) as judge:
        yield judge


@pytest.fixture(scope="session")
def adversarial(collections: Path) -> tuple[str, ...]:
    return adversarial_texts(collections)


@pytest.fixture(scope="session")
def tiny_xlm_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XLM-R of two random layers, its Metaspace tokenizer and two markers."""
    folder = tmp_path_factory.mktemp("xlm_roberta") / "encoder"
    torch.manual_seed(13)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        # XLM-R counts positions from pad_token_id + 1.
        max_position_embeddings=64 + 2,
        pad_token_id=1,
        type_vocab_size=1,
    )
    model = transformers.XLMRobertaModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    # Longer pieces cost less, so that words win over their letters.
    tokenizer = Tokenizer(models.Unigram([(p, -8.0 - 1 / len(p)) for p in PIECES], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([*SPECIALS, "<mask>", *MARKERS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    write_json(folder / "tokenizer_config.json", roles)
    return folder
