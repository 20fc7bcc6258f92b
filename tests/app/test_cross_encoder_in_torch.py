"""Cross-encoders of transformers, served by Vespa: the logits are those of the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.indexed_documents import TEXTS, asked, indexed, ranker_of, reranked
from tests.app.tiny_models import write_colbert
from tests.tiny_cross_encoders import write_cross_encoder_checkpoint
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.cross_encoder import read_cross_encoder
from vespa_colbert.app.options import CrossEncoding
from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.export import ExportOptions
from vespa_colbert.export.cross_encoder import export_cross_encoder
from vespa_colbert.rank import parse_expression
from vespa_colbert.reranker import Reranker, Sequencing, open_scorer
from vespa_colbert.vespa_java import VespaJava

pytestmark = [pytest.mark.java, pytest.mark.slow]

LENGTH = 32
QUERY_TOKENS = 24
FLOAT_STEPS = 2e-6
"""Two layers in float, summed in another order by ONNX Runtime than by torch."""
RERANKED = 1e-5
"""The graph in the same release of ONNX Runtime, with padding in Java alone."""


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_logits_are_those_of_the_library_for_short_and_for_overlong_documents(
    java: VespaJava, tmp_path: Path, family: str
) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification

    colbert = write_colbert(tmp_path / "colbert")
    source = write_cross_encoder_checkpoint(tmp_path / "checkpoint", family)
    model = AutoModelForSequenceClassification.from_pretrained(source, local_files_only=True).eval()
    read = read_cross_encoder_checkpoint(source, max_tokens=LENGTH)
    folder = export_cross_encoder(read, tmp_path / "cross", ExportOptions(opset=17)).path
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH, strategy="only_second")
    rule = Sequencing.of_package(LENGTH, QUERY_TOKENS)
    reranker = Reranker(open_scorer(folder), sequencing=rule)
    encoding = CrossEncoding(encoder=read_cross_encoder(folder), query_tokens=QUERY_TOKENS)
    spec = application_spec(folder_embedder(colbert), AppOptions(cross_encoding=encoding))
    app = render_app(spec, tmp_path / "app", parse=parse_expression).path
    text, lengths = "what is the dog?", set[int]()

    documents = indexed(java, app)
    ranker = ranker_of(app, "cross_encode_float", documents)
    query = asked(java, app, "cross_encode_float", text)
    hits = {hit.id: hit.relevance for hit in reranked(java, app, ranker, query)}
    mine = {hit.id: hit.relevance for hit in ranker.rank(query)}

    assert len(hits) >= 3
    for name, logit in hits.items():
        fields = TEXTS[int(name)]
        said = f"{fields.get('title', '')} {fields.get('text', '')}"
        pair = tokenizer.encode(text, said)
        lengths.add(len(pair.ids))
        given = {"input_ids": pair.ids, "token_type_ids": pair.type_ids}
        if family != "bert":
            del given["token_type_ids"]
        with torch.no_grad():
            wanted = model(**{key: torch.tensor([value]) for key, value in given.items()}).logits
        assert logit == pytest.approx(float(wanted[0, 0]), abs=FLOAT_STEPS)
        assert mine[name] == pytest.approx(logit, rel=1e-6)
        assert reranker.score([(text, said)])[0] == pytest.approx(logit, abs=RERANKED)
    assert LENGTH in lengths
