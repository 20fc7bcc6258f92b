"""Attention as transformers computes it by default, in plain operators. Imports torch.

Its two implementations differ where a token may attend to none: ``eager`` gives the mean of all
values, ``sdpa``, the default and so what the libraries compute, gives zeros. Such tokens are the
expansion of a query outside a local window, and what stands first in a causal model without being
attended. The graph has the products of ``eager`` and the zeros of ``sdpa``.

Source: scaled_dot_product_attention, torch 2.15; eager_mask, transformers 5.23.
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253 - computes with tensors

__all__ = ["attention_of"]

EAGER = "eager"
# Every token of theirs attends to every attended token, of which there is always one: the two
# implementations are one, and the graph of eager is the smaller.
FULLY_ATTENDED = frozenset({
    "albert",
    "bert",
    "camembert",
    "distilbert",
    "electra",
    "roberta",
    "xlm-roberta",
})
NAME = "vespa_colbert"
UNKNOWN = ("softcap", "s_aux", "position_bias")
"""Arguments that change what attention is, and that are not computed here."""


def attention_of(architecture: Any) -> str:
    """Return the name by which transformers knows the attention that a class is to be built with.

    A class for which transformers has one implementation alone is built with that, and one whose
    implementations cannot differ with the plainer.
    """
    import transformers

    if architecture.config_class.model_type in FULLY_ATTENDED:
        return EAGER
    if not (architecture._supports_sdpa and architecture._supports_attention_backend):
        return EAGER
    masks = transformers.masking_utils.ALL_MASK_ATTENTION_FUNCTIONS
    transformers.AttentionInterface.register(NAME, _attend)
    transformers.AttentionMaskInterface.register(NAME, masks[EAGER])
    return NAME


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attended values, (batch, token, head, component), and no weights.

    Args:
        module: The layer.
        query: (batch, head, token, component).
        key: (batch, fewer heads, token, component).
        value: Shaped as the key.
        attention_mask: (batch, 1, token, token), 0 where a token attends to another, else the least
            number; None for everywhere.
        scaling: Of the products; by default 1 by the root of the number of components.
        options: What else the layer says.

    Raises:
        ValueError: If the layer wants something that is not computed here.
    """
    causal = options.get("is_causal", getattr(module, "is_causal", False))
    unknown = any(options.get(each) is not None for each in UNKNOWN)
    if unknown or (causal and attention_mask is None):
        raise ValueError(f"{type(module).__name__}: attention of a kind that is not exported")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query, key.transpose(2, 3)) * scale
    if attention_mask is None:
        weights = torch.softmax(scores, dim=-1)
    else:
        weights = torch.softmax(scores + attention_mask, dim=-1)
        weights = torch.where(attention_mask == 0, weights, torch.zeros_like(weights))
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None
