"""Three tiny models, and copies of them that differ in one setting of a kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_checkpoint import write_json
from tests.tiny_dense import build_tiny_dense
from vespa_colbert.export import read_dense_folder
from vespa_colbert.export.model_folder import EMBEDDER_FILE
from vespa_colbert.files import digest_file

PROMPTS = {"prompts": {"query": "What is: ", "document": "Passage: "}}

TEXTS = (
    "What is a rose? A rose is a rose is a rose.",
    "the quick brown fox jumps over the lazy dog, and the dog does not care at all.",
    "a rose",
    "In 1450 Gutenberg printed with movable type: 42 lines a page, 180 copies. " * 4,
    "Vespa ranks documents: it sums the maxima of dot products (late interaction).",
    "how vexingly quick daft zebras jump",
    "Wie hoch ist der Berg? L'été à Paris, le café est cher.",
    "pack my box with five dozen liquor jugs, " * 5,
    "Rose",
    "the lines of a page and the maxima of a box",
)
"""Short and long, in lower case and not, some of them longer than the models take."""

MODELS: Mapping[str, Callable[[Path], Path]] = {
    "BERT, first row, length 1": lambda folder: build_tiny_dense(folder, pooling="cls"),
    "MPNet, mean, as they are": lambda folder: build_tiny_dense(
        folder, "mpnet", pooling="mean", normalize=False
    ),
    "XLM-R, mean, length 1, prompts": lambda folder: build_tiny_dense(
        folder, "xlm-roberta", pooling="mean", config=PROMPTS
    ),
}
PROMPTED = "XLM-R, mean, length 1, prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A difference that is put into a copy of a model.

    Attributes:
        setting: What a diagnosis must call it.
        stage: The first stage that differs.
        plant: Changes a copy of the checkpoint, or of its model folder.
        in_export: Whether the copy is a model folder.
    """

    setting: str
    stage: str
    plant: Callable[[Path], None]
    in_export: bool = False


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file; a model folder's manifest gets the new checksums."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    write_json(path, document)


def copied(folder: Path, to: Path) -> Path:
    """Return a copy of a folder."""
    return Path(shutil.copytree(folder, to))


def edit_export(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the tokenizer of a model folder, whose manifest states the file as it is then."""
    from dataclasses import replace

    read = read_dense_folder(folder)
    edit(folder / "tokenizer.json", change)
    files = {name: digest_file(folder / name) for name in read.files}
    (folder / EMBEDDER_FILE).write_text(replace(read, files=files).manifest(), encoding="utf-8")


def _cut_left(folder: Path) -> None:
    truncation = {
        "direction": "Left",
        "max_length": read_dense_folder(folder).facts.max_tokens,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    edit_export(folder, lambda document: document.update(truncation=truncation))


def _without_specials(folder: Path) -> None:
    edit_export(folder, lambda document: document.update(post_processor=None))


def _shorter(folder: Path) -> None:
    edit(folder / "sentence_bert_config.json", lambda document: document.update(max_seq_length=21))


def _other_case(folder: Path) -> None:
    def change(document: Any) -> None:
        part = document["normalizer"]
        if part["type"] == "BertNormalizer":
            part["lowercase"], part["strip_accents"] = False, True
        else:
            part["normalizers"].insert(0, {"type": "Lowercase"})

    edit(folder / "tokenizer.json", change)


def _instruction(folder: Path) -> None:
    prompts = {"query": "Find: ", "document": "the text: "}
    edit(
        folder / "config_sentence_transformers.json",
        lambda document: document.update(prompts=prompts),
    )


def _other_order(folder: Path) -> None:
    """Exchange two tokens that the texts are full of."""

    def change(document: Any) -> None:
        vocabulary = document["model"]["vocab"]
        if isinstance(vocabulary, dict):
            vocabulary["a"], vocabulary["the"] = vocabulary["the"], vocabulary["a"]
            return
        names = [piece for piece, _score in vocabulary]
        one, other = names.index("a"), names.index("s")
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]

    edit(folder / "tokenizer.json", change)


def _pooling(folder: Path) -> None:
    def change(document: Any) -> None:
        document["pooling_mode"] = "mean" if document["pooling_mode"] == "cls" else "cls"

    edit(folder / "1_Pooling" / "config.json", change)


def _lengths(folder: Path) -> None:
    def change(document: Any) -> None:
        if document[-1]["type"].endswith("Normalize"):
            document.pop()
            return
        document.append({
            "idx": len(document),
            "name": str(len(document)),
            "path": f"{len(document)}_Normalize",
            "type": "sentence_transformers.models.Normalize",
        })

    edit(folder / "modules.json", change)


def edit_weights(folder: Path, change: Callable[[str, Any], Any]) -> None:
    """Change each tensor of a checkpoint."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    with torch.no_grad():
        changed = {name: change(name, each).contiguous() for name, each in tensors.items()}
    save_file(changed, path, metadata={"format": "pt"})


def _half(folder: Path) -> None:
    edit_weights(folder, lambda _name, each: each.half() if each.is_floating_point() else each)


def _other_weights(folder: Path) -> None:
    name_of = "layer.1.output.dense.weight"
    edit_weights(folder, lambda name, each: each * 1.05 if name.endswith(name_of) else each)


def _fewer_layers(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {name: each for name, each in load_file(path).items() if "layer.1." not in name}
    save_file(kept, path, metadata={"format": "pt"})
    edit(folder / "config.json", lambda document: document.update(num_hidden_layers=1))


WHITE: Mapping[str, Plant] = {
    "truncation side": Plant(
        setting="truncation side", stage="token ids", plant=_cut_left, in_export=True
    ),
    "max length": Plant(setting="max length", stage="token ids", plant=_shorter),
    "special tokens": Plant(
        setting="special tokens", stage="token ids", plant=_without_specials, in_export=True
    ),
    "lower-casing": Plant(setting="lower-casing", stage="token ids", plant=_other_case),
    "instruction": Plant(setting="instruction", stage="text", plant=_instruction),
    "vocabulary": Plant(setting="vocabulary", stage="token ids", plant=_other_order),
    "pooling": Plant(setting="pooling", stage="pooled vector", plant=_pooling),
    "normalisation": Plant(setting="normalisation", stage="vector", plant=_lengths),
    "dtype": Plant(setting="dtype (float16)", stage="hidden states", plant=_half),
    "hidden states": Plant(setting="hidden states", stage="hidden states", plant=_other_weights),
    "layers": Plant(setting="hidden states", stage="hidden states", plant=_fewer_layers),
}
"""Kind → the difference between two folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A vectoriser as somebody writes it by hand with torch and transformers.

    Attributes:
        folder: The checkpoint.
        pooling: ``cls`` or ``mean``.
        unit: Whether vectors are brought to length 1.
        instruction: Put before each text.
        max_length: Where texts are cut; None for not.
        side: Which end is cut off.
        specials: Whether special tokens are added.
        lower: Whether texts are lower-cased first.
        masked: Whether the attention mask is used.
        half: Whether it computes in float16.
        batch: Texts of a batch.
    """

    folder: Path
    pooling: str
    unit: bool
    instruction: str = ""
    max_length: int | None = 48
    side: str = "right"
    specials: bool = True
    lower: bool = False
    masked: bool = True
    half: bool = False
    batch: int = 32

    def __call__(self, texts: list[str]) -> Any:
        """Return (text, dim) float32."""
        import torch
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        tokenizer.truncation_side = self.side
        model = transformers.AutoModel.from_pretrained(self.folder).eval()
        model = model.half() if self.half else model
        given = [self.instruction + (each.lower() if self.lower else each) for each in texts]
        found = []
        for start in range(0, len(given), self.batch):
            inputs = tokenizer(
                given[start : start + self.batch],
                padding=True,
                truncation=self.max_length is not None,
                max_length=self.max_length,
                add_special_tokens=self.specials,
                return_tensors="pt",
                return_token_type_ids=False,
            )
            if not self.masked:
                inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
            with torch.no_grad():
                rows = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).to(rows.dtype)
            vectors = rows[:, 0]
            if self.pooling == "mean":
                vectors = (rows * mask).sum(1) / mask.sum(1)
            if self.unit:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
            found.append(vectors.numpy())
        return np.concatenate(found)


def foreign(name: str, folder: Path, **otherwise: Any) -> Foreign:
    """Return the vectoriser of a model as it should be, or otherwise.

    Args:
        name: Of the model.
        folder: Its checkpoint.
        otherwise: What is done otherwise.
    """
    right: dict[str, Any] = {
        "pooling": "cls" if "first row" in name else "mean",
        "unit": "length 1" in name,
        "instruction": PROMPTS["prompts"]["document"] if name == PROMPTED else "",
    }
    return Foreign(folder=folder, **{**right, **otherwise})
