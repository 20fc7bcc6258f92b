"""A model folder on the Hugging Face Hub: its three files and a card with the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vespa_colbert.errors import ExportError, MissingExtraError
from vespa_colbert.export.model_folder import EMBEDDER_FILE, ModelFolder

__all__ = ["CARD_FILE", "Upload", "model_card", "plan_upload", "push_model"]

CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What would be sent.

    Attributes:
        repository: Hub name, ``organisation/model``.
        files: File name → bytes.
        card: Text of the model card.
    """

    repository: str
    files: dict[str, int]
    card: str


def plan_upload(folder: ModelFolder, repository: str) -> Upload:
    """Return what ``push_model`` would send; asks no network."""
    card = model_card(folder, repository)
    files = {name: digest.size for name, digest in sorted(folder.files.items())}
    files[EMBEDDER_FILE] = len(folder.manifest().encode())
    files[CARD_FILE] = len(card.encode())
    return Upload(repository=repository, files=files, card=card)


def push_model(folder: ModelFolder, repository: str, *, private: bool = False) -> str:
    """Return the address of the commit that holds the model folder.

    Args:
        folder: A model folder, read with its checksums checked.
        repository: Hub name; made if it is not there.
        private: Whether a new repository is private.

    Raises:
        ExportError: If the Hub refuses; the token is never part of the message.
        MissingExtraError: If huggingface-hub is not installed.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "huggingface-hub") from error
    upload = plan_upload(folder, repository)
    operations: list[Any] = [
        huggingface_hub.CommitOperationAdd(name, str(folder.path / name))
        for name in upload.files
        if name != CARD_FILE
    ]
    operations.append(huggingface_hub.CommitOperationAdd(CARD_FILE, upload.card.encode()))
    hub = huggingface_hub.HfApi()
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        commit = hub.create_commit(
            repository, operations, commit_message="Add the model for Vespa's colbert-embedder"
        )
    except Exception as error:  # its exceptions come from several libraries
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ExportError(
            f"{repository}: the Hub does not take the model ({reason}); check the name, and that "
            "HF_TOKEN may write there"
        ) from error
    return str(commit.commit_url)


def model_card(folder: ModelFolder, repository: str) -> str:
    """Return the text of the card: what it is, how it was checked, how Vespa loads it."""
    spec, checkpoint = folder.embedder, folder.checkpoint
    cases = folder.verification.get("cases", [])
    worst = max((case["worst"] for case in cases), default=float("nan"))
    address = f"https://huggingface.co/{repository}/resolve/main"
    return f"""---
tags: [colbert, late-interaction, vespa, onnx]
library_name: vespa-colbert
---

# {repository.partition("/")[2]}

A late-interaction (ColBERT) model for Vespa's `colbert-embedder`: inputs `input_ids` and
`attention_mask`, output `contextual`, {spec.dim} components a token, rows of unit length.

- made from: {checkpoint.get("name", "a checkpoint")} ({checkpoint.get("layout", "unknown")} layout)
- packaging: {folder.packaging}
- largest difference to torch: {worst:.1e} on {len(cases)} batch and length pairs
- facts and checksums: `{EMBEDDER_FILE}`

With `embedder.json` beside a recipe, `vespa-colbert generate` prints an application package that
downloads this model, every id, length and flag of its `colbert-embedder` filled in:

```toml
[model]
transformer-url = "{address}/model.onnx"
tokenizer-url = "{address}/tokenizer.json"
embedder = "embedder.json"
```
"""
