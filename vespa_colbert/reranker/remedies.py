"""What is mostly wrong with a folder of custom weights, and what to do about it.

A diagnosis is found by the step of reading that failed and by what it said: the first row that fits
names it. Every row has a damaged folder in ``tests/reranker/damaged_rerankers.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["CAUSES", "Cause", "Diagnosis", "Severity", "diagnose"]

Severity: TypeAlias = Literal["fault", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing that is wrong.

    Attributes:
        code: Its name, the same in every release.
        severity: A ``fault`` keeps the model from being used, a ``warning`` does not.
        step: Where it showed: ``folder``, ``model-folder``, ``config``, ``weights``,
            ``tokenizer``, ``keys``, ``agreement`` or ``scores``.
        found: What was expected and what is there.
        remedy: What to do.
    """

    code: str
    severity: Severity
    step: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One row of the table: how a fault is told, and its remedy."""

    step: str
    code: str
    pattern: str
    remedy: str


SAVE_PRETRAINED = (
    "save model and tokenizer with save_pretrained from the process that trained them, and copy "
    "the whole folder"
)
FETCH_AGAIN = "fetch the file again, and compare its sha256 with that of where it comes from"

CAUSES = (
    Cause(
        step="folder",
        code="folder-missing",
        pattern="",
        remedy="give the path of the folder that save_pretrained wrote; it is never looked up in "
        "a network",
    ),
    Cause(
        step="model-folder",
        code="model-folder-damaged",
        pattern="",
        remedy="export the checkpoint again",
    ),
    Cause(
        step="config",
        code="modules",
        pattern=r"modules\.json|default_prompt_name",
        remedy="sentence-transformers does more than the model: save the model alone "
        "(CrossEncoder.model.save_pretrained), or take the prompt into the texts",
    ),
    Cause(
        step="config",
        code="config-missing",
        pattern=r"expected a JSON file, got (none|a link)",
        remedy=f"there is no config.json: {SAVE_PRETRAINED}",
    ),
    Cause(
        step="config",
        code="config-lfs-pointer",
        pattern="git-lfs pointer",
        remedy="git clone left a pointer in place of the file: run git lfs pull in the clone",
    ),
    Cause(
        step="config",
        code="remote-code",
        pattern="auto_map",
        remedy="only architectures that transformers has built in are read; if the one named by "
        "model_type computes the same, take auto_map out of config.json",
    ),
    Cause(
        step="config",
        code="quantised",
        pattern="quantization_config",
        remedy="save the model again in float32, float16 or bfloat16",
    ),
    Cause(
        step="config",
        code="labels",
        pattern="one label",
        remedy="a model with several labels tells classes apart and gives no score; train it with "
        "num_labels=1 (a classifier of one row)",
    ),
    Cause(
        step="config",
        code="architecture",
        pattern="architectures",
        remedy="architectures of config.json must name the class of transformers, such as "
        "XLMRobertaForSequenceClassification or BertForSequenceClassification; CrossEncoder is a "
        "class of sentence-transformers and names no architecture, and a model without a "
        "classification head is no reranker",
    ),
    Cause(
        step="config",
        code="config-damaged",
        pattern="",
        remedy=f"config.json is no valid JSON object of a model: {SAVE_PRETRAINED}",
    ),
    Cause(
        step="weights",
        code="adapter",
        pattern="adapter_config",
        remedy="merge the adapter into the model (merge_and_unload of PEFT) and save it again",
    ),
    Cause(
        step="weights",
        code="weights-pickle",
        pattern="pickle",
        remedy="save the model again as safetensors; or allow torch files with --allow-pickle, "
        "which reads tensors alone and runs nothing",
    ),
    Cause(
        step="weights",
        code="weights-missing",
        pattern="no weights at all|got none",
        remedy=f"there is no model.safetensors and no pytorch_model.bin: {SAVE_PRETRAINED}",
    ),
    Cause(
        step="weights",
        code="weights-empty",
        pattern="an empty file|without any|got nothing",
        remedy=f"the weights file holds nothing: {FETCH_AGAIN}",
    ),
    Cause(
        step="weights",
        code="weights-lfs-pointer",
        pattern="git-lfs pointer",
        remedy="git clone left a pointer of 130 bytes in place of the weights: run git lfs pull in "
        "the clone",
    ),
    Cause(
        step="weights",
        code="weights-incomplete",
        pattern="incomplete download|damaged or incomplete",
        remedy=f"the file ends too early: {FETCH_AGAIN}",
    ),
    Cause(
        step="weights",
        code="weights-dtype",
        pattern=r"expected float weights",
        remedy="save the model in float32, float16 or bfloat16; other types are not widened in "
        "silence",
    ),
    Cause(
        step="weights",
        code="weights-not-finite",
        pattern="NaN or infinite",
        remedy="training diverged or half precision overflowed: go back to an earlier state, or "
        "train with a smaller step or in bfloat16, and save again",
    ),
    Cause(
        step="weights",
        code="weights-zero",
        pattern="zeros",
        remedy="the tensor was never filled, as in a state dict that sharded training had not "
        f"gathered: {SAVE_PRETRAINED}",
    ),
    Cause(
        step="weights",
        code="config-and-weights",
        pattern=r"config and weights|of different models|hidden_size|vocab_size",
        remedy="config.json is of another model than the weights: take both from one folder",
    ),
    Cause(
        step="weights",
        code="weights-damaged",
        pattern="",
        remedy=f"the weights are in no format that is read: {FETCH_AGAIN}",
    ),
    Cause(
        step="tokenizer",
        code="tokenizer-missing",
        pattern=r"expected tokenizer\.json",
        remedy="tokenizer.json is missing (vocab.txt or sentencepiece.bpe.model alone is not "
        "enough for Vespa): AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
    ),
    Cause(
        step="tokenizer",
        code="pair-form",
        pattern="puts pairs together",
        remedy="the tokenizer does not know pairs as cross-encoders are trained with: take "
        "tokenizer.json from the base model and save it again",
    ),
    Cause(
        step="tokenizer",
        code="tokenizer-damaged",
        pattern="",
        remedy="tokenizer.json or one of its companions is damaged: take all tokenizer files from "
        "the base model again",
    ),
    Cause(
        step="keys",
        code="wrapped-keys",
        pattern="wrapped",
        remedy="the state dict is that of a wrapper (DataParallel, a trainer, a class around the "
        "model): save the model inside it with save_pretrained",
    ),
    Cause(
        step="keys",
        code="missing-keys",
        pattern="checkpoint lacks",
        remedy="transformers would fill these tensors with random numbers: save the whole model "
        "after fine-tuning, its classification head included",
    ),
    Cause(
        step="keys",
        code="unexpected-keys",
        pattern="went nowhere",
        remedy="the weights are of another architecture than config.json names: take both from "
        "one folder, or name the right class in architectures",
    ),
    Cause(
        step="keys",
        code="key-shapes",
        pattern="another shape",
        remedy="sizes of config.json are those of another model: take config and weights from one "
        "folder",
    ),
    Cause(
        step="keys",
        code="architecture-unknown",
        pattern="",
        remedy="model_type of config.json is none that transformers builds: correct it, or update "
        "transformers",
    ),
    Cause(
        step="agreement",
        code="vocabulary",
        pattern="rows of the token embedding",
        remedy="call resize_token_embeddings(len(tokenizer)) before training, or take the "
        "tokenizer that the model was trained with",
    ),
    Cause(
        step="agreement",
        code="pad-id",
        pattern="padding|pad_token",
        remedy="take config.json and the tokenizer from one model: batches would be padded with a "
        "token that the model reads",
    ),
    Cause(
        step="agreement",
        code="token-types",
        pattern="token types",
        remedy="take the tokenizer that the model was trained with",
    ),
    Cause(
        step="agreement",
        code="positions",
        pattern="",
        remedy="longer pairs would fail or read positions that do not exist: state --max-tokens, "
        "or correct model_max_length in tokenizer_config.json",
    ),
    Cause(
        step="scores",
        code="scores-not-finite",
        pattern="NaN or infinite",
        remedy="weights are finite but so large that sums overflow: training diverged; go back to "
        "an earlier state and save it with save_pretrained",
    ),
    Cause(
        step="scores",
        code="scores-constant",
        pattern="the same score",
        remedy="the head says nothing of the texts: it was saved before training, or another one "
        f"was trained; {SAVE_PRETRAINED}",
    ),
    Cause(
        step="scores",
        code="scores-fail",
        pattern="",
        remedy="the model cannot be run as it stands: check that config, weights and tokenizer "
        "are of one model",
    ),
    Cause(
        step="warning",
        code="stored-narrow",
        pattern="weights stored as",
        remedy="nothing, if the library is compared in float32 too",
    ),
    Cause(
        step="warning",
        code="separators",
        pattern="",
        remedy="take the tokenizer that the model was trained with, unless it was trained so",
    ),
)
"""Looked at in this order."""


def diagnose(step: str, found: str) -> Diagnosis:
    """Return the diagnosis of what a step said."""
    cause = next(each for each in CAUSES if each.step == step and re.search(each.pattern, found))
    return Diagnosis(
        code=cause.code,
        severity="warning" if step == "warning" else "fault",
        step=step,
        found=found,
        remedy=cause.remedy,
    )
