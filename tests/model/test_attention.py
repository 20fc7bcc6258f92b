from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from vespa_colbert.model.attention import NAME, attention_of

ROUNDING = 1e-6
"""float32 sums of six products."""
LEAST = torch.finfo(torch.float32).min


def attend(*arguments: Any, **options: Any) -> Any:
    attention_of(transformers.Qwen3Model)
    layer = SimpleNamespace(is_causal=options.pop("layer_is_causal", False))
    return transformers.AttentionInterface()[NAME](layer, *arguments, **options)[0]


def values(heads: int, key_heads: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(heads)
    shapes = ((2, heads, 5, 6), (2, key_heads, 5, 6), (2, key_heads, 5, 6))
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return query, key, value


@pytest.mark.parametrize(("heads", "key_heads"), [(2, 2), (4, 2), (3, 1)])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_it_is_torchs_where_a_token_attends_to_none(
    heads: int, key_heads: int, scaling: float | None
) -> None:
    query, key, value = values(heads, key_heads)
    allowed = torch.ones(2, 1, 5, 5, dtype=torch.bool).tril()
    # The first text's first two tokens are not attended: they see nothing.
    allowed[0, :, :, :2] = False
    mask = torch.where(allowed, 0.0, LEAST)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=allowed, scale=scaling, enable_gqa=True
    )
    got = attend(query, key, value, mask, scaling=scaling)
    np.testing.assert_allclose(got, wanted.transpose(1, 2), atol=ROUNDING, rtol=0)
    assert not got[0, :2].any()


def test_without_a_mask_every_token_attends_to_every_other() -> None:
    query, key, value = values(2, 2)
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    got = attend(query, key, value, None)
    np.testing.assert_allclose(got, wanted.transpose(1, 2), atol=ROUNDING, rtol=0)


def test_what_is_not_computed_is_refused() -> None:
    query, key, value = values(2, 2)
    with pytest.raises(ValueError, match="not exported"):
        attend(query, key, value, None, layer_is_causal=True)
    with pytest.raises(ValueError, match="not exported"):
        attend(query, key, value, torch.zeros(2, 1, 5, 5), softcap=30.0)


def test_a_class_with_one_implementation_or_two_alike_keeps_it() -> None:
    assert attention_of(transformers.DebertaV2Model) == "eager"
    assert attention_of(transformers.BertModel) == "eager"
    assert attention_of(transformers.ModernBertModel) == NAME
