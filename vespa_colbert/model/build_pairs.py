"""Building the module of a cross-encoder: every number of its head comes from its files too."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from vespa_colbert.checkpoint.cross_encoder import CrossEncoderCheckpoint
from vespa_colbert.checkpoint.facts import Encoder
from vespa_colbert.errors import MissingExtraError
from vespa_colbert.model.accounting import CLASSIFIER_IGNORABLE, Assignment, match_weights
from vespa_colbert.model.build import empty_module, load_module

if TYPE_CHECKING:
    from vespa_colbert.model.pair_encoder import PairEncoder

__all__ = ["build_cross_encoder", "match_classifier"]

AUTO = "AutoModelForSequenceClassification"


def build_cross_encoder(checkpoint: CrossEncoderCheckpoint) -> PairEncoder:
    """Return the torch module of a cross-encoder: float32, in evaluation mode, on the CPU.

    Raises:
        CheckpointError: If transformers does not know the architecture, or refuses the config.
        MissingWeightError: If a tensor of the file goes nowhere or one of the model is not in it.
        MissingExtraError: If torch or transformers is not installed.
    """
    try:
        from vespa_colbert.model.pair_encoder import PairEncoder
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "torch") from error
    classifier = load_module(checkpoint.path, checkpoint.encoder, AUTO, CLASSIFIER_IGNORABLE)
    takes = checkpoint.gives_types and _has_types(classifier)
    module = PairEncoder(classifier, takes_types=takes)
    module.requires_grad_(requires_grad=False)
    module.eval()
    return module


def match_classifier(encoder: Encoder) -> Assignment:
    """Return where each tensor of a cross-encoder goes, with all that does not fit.

    Raises:
        CheckpointError: If transformers does not know the architecture, or refuses the config.
        MissingExtraError: If torch or transformers is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "torch") from error
    with torch.device("meta"):
        state = empty_module(encoder, AUTO).state_dict()
    return match_weights(
        {name: array.shape for name, array in encoder.weights.items()},
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        "",
        CLASSIFIER_IGNORABLE,
    )


def _has_types(classifier: Any) -> bool:
    return "token_type_ids" in inspect.signature(classifier.forward).parameters
