"""Cross-encoders of transformers, served by Vespa: the logits are those of the library."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.app.indexed_documents import TEXTS, asked, indexed, ranker_of, reranked
from tests.app.tiny_models import pair_processor, write_colbert
from tests.tiny_encoders import FAMILIES
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.cross_encoder import read_cross_encoder
from vespa_colbert.app.options import CrossEncoding
from vespa_colbert.vespa_java import VespaJava

pytestmark = [pytest.mark.java, pytest.mark.slow]

LENGTH = 32
FLOAT_STEPS = 2e-6
"""Two layers in float, summed in another order by ONNX Runtime than by torch."""


def write_model(folder: Path, family: str) -> tuple[Any, Any]:
    """Return a model with random weights and its tokenizer, written as a cross-encoder's folder."""
    import torch
    import transformers

    folder.mkdir()
    tokenizer = FAMILIES[family].tokenizer()
    tokenizer.post_processor = pair_processor(tokenizer, family)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(5)
    config = transformers.AutoConfig.for_model(
        family, vocab_size=tokenizer.get_vocab_size(), num_labels=1, **FAMILIES[family].config
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if family == "bert" else [])]
    examples = tuple(torch.ones(2, 9, dtype=torch.int64) * (place + 3) for place in range(3))

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True)), return_dict=False)[0]

    kinds = (examples[0], torch.ones_like(examples[1]), torch.zeros_like(examples[2]))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Logits().eval(),
            kinds[: len(names)],
            str(folder / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={
                "logits": {0: "batch"},
                **{name: {0: "batch", 1: "token"} for name in names},
            },
        )
    facts = {"max_tokens": LENGTH, "token_type_ids": names[2] if len(names) > 2 else ""}
    (folder / "embedder.json").write_text(json.dumps({"cross_encoder": facts}), encoding="utf-8")
    return model, tokenizer


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_logits_are_those_of_the_library_for_short_and_for_overlong_documents(
    java: VespaJava, tmp_path: Path, family: str
) -> None:
    import torch

    colbert = write_colbert(tmp_path / "colbert")
    model, tokenizer = write_model(tmp_path / "cross", family)
    tokenizer.enable_truncation(LENGTH, strategy="only_second")
    encoding = CrossEncoding(encoder=read_cross_encoder(tmp_path / "cross"), query_tokens=24)
    spec = application_spec(folder_embedder(colbert), AppOptions(cross_encoding=encoding))
    app = render_app(spec, tmp_path / "app").path
    text, lengths = "what is the dog?", set[int]()

    documents = indexed(java, app)
    ranker = ranker_of(app, "cross_encode_float", documents)
    query = asked(java, app, "cross_encode_float", text)
    hits = {hit.id: hit.relevance for hit in reranked(java, app, ranker, query)}
    mine = {hit.id: hit.relevance for hit in ranker.rank(query)}

    assert len(hits) >= 3
    for name, logit in hits.items():
        fields = TEXTS[int(name)]
        pair = tokenizer.encode(text, f"{fields.get('title', '')} {fields.get('text', '')}")
        lengths.add(len(pair.ids))
        given = {"input_ids": pair.ids, "token_type_ids": pair.type_ids}
        if family != "bert":
            del given["token_type_ids"]
        with torch.no_grad():
            wanted = model(**{key: torch.tensor([value]) for key, value in given.items()}).logits
        assert logit == pytest.approx(float(wanted[0, 0]), abs=FLOAT_STEPS)
        assert mine[name] == pytest.approx(logit, rel=1e-6)
    assert LENGTH in lengths
