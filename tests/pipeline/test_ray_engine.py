"""Ray itself embeds a corpus: the index is the one that this process makes alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.tiny_models import write_colbert
from tests.codec.codec_cases import trained
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.residual_vectors import read_residual_vectors
from vespa_colbert.codec import write_codec
from vespa_colbert.index import open_index
from vespa_colbert.pipeline import EmbedRequest, embed, only_schema
from vespa_colbert.pipeline.residuals import coded_field
from vespa_colbert.rank import parse_expression

ROOT = Path(__file__).parents[2]
DOCUMENTS = 23

# In a process of its own, since Ray leaves threads and sockets behind.
SCRIPT = """
import pickle, sys
from pathlib import Path
import ray
from vespa_colbert.pipeline import embed_with_ray

request = pickle.loads(Path(sys.argv[1]).read_bytes())
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
done = embed_with_ray(request, 3)
print("documents", done.documents)
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_coded", [False, True], ids=["vectors", "residuals"])
def test_ray_makes_the_index_that_one_process_makes(tmp_path: Path, is_coded: bool) -> None:
    pytest.importorskip("ray.data")
    import pickle

    model = write_colbert(tmp_path / "model")
    codec = tmp_path / "codec"
    write_codec(trained(2, 16), codec)
    spec = application_spec(
        folder_embedder(model), AppOptions(residual=read_residual_vectors(codec))
    )
    app = render_app(spec, tmp_path / "app", parse=parse_expression).path
    words = ("red", "green", "greens", "🦊")
    lines = (
        json.dumps({
            "_id": f"d{place}",
            "text": " ".join(words[: place % 4 + 1] * (place // 4 + 1)),
        })
        for place in range(1, DOCUMENTS + 1)
    )
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines), encoding="utf-8")

    def request(name: str) -> EmbedRequest:
        return EmbedRequest(
            corpus=corpus,
            model=model,
            schema=only_schema(app),
            output=tmp_path / name,
            threads=1,
            coded=coded_field(app, codec, model) if is_coded else None,
        )

    (tmp_path / "request").write_bytes(pickle.dumps(request("by-ray")))
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "request")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "HOME": str(tmp_path),
        },
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.splitlines()[-1] == f"documents {DOCUMENTS}"
    embed(request("alone"))

    alone, by_ray = open_index(tmp_path / "alone"), open_index(tmp_path / "by-ray")
    assert [each.id for each in by_ray.documents] == [each.id for each in alone.documents]
    assert by_ray.origin == alone.origin
    assert alone.tensors.keys() == by_ray.tensors.keys() != set()
    for name, mine in alone.tensors.items():
        for place in range(DOCUMENTS):
            one, other = (each.document(place) for each in (mine, by_ray.tensors[name]))
            assert one == other
    assert not list(tmp_path.glob("by-ray.*")), "parts are left"
