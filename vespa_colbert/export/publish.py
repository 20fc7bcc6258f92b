"""A model folder on the Hugging Face Hub: its three files and a card with the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vespa_colbert.checkpoint.hub import HUB_NAME
from vespa_colbert.errors import ExportError, MissingExtraError
from vespa_colbert.export.loss import loss_lines
from vespa_colbert.export.model_folder import EMBEDDER_FILE, ModelFolder

__all__ = ["CARD_FILE", "Upload", "check_repository", "model_card", "plan_upload", "push_model"]

CARD_FILE = "README.md"
SECRET = re.compile(r"hf_\w+|(?<=Bearer )\S+")


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


def check_repository(repository: str) -> None:
    """Return nothing if something can be sent there, as far as one can say without asking.

    Raises:
        ExportError: If it is no name of a model on the Hub.
        MissingExtraError: If huggingface-hub is not installed.
    """
    if not HUB_NAME.fullmatch(repository):
        raise ExportError(f"push-to-hub: expected organisation/model, got {repository!r}")
    _hub_library()


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
        ExportError: If the Hub refuses; the token is no part of the message, and the error that the
            library raised, which may hold it, is not chained.
        MissingExtraError: If huggingface-hub is not installed.
    """
    library = _hub_library()
    upload = plan_upload(folder, repository)
    operations: list[Any] = [
        library.CommitOperationAdd(name, str(folder.path / name))
        for name in upload.files
        if name != CARD_FILE
    ]
    operations.append(library.CommitOperationAdd(CARD_FILE, upload.card.encode()))
    try:
        hub = library.HfApi()
        hub.create_repo(repository, private=private, exist_ok=True)
        commit = hub.create_commit(
            repository, operations, commit_message="Add the model for Vespa's colbert-embedder"
        )
    except Exception as error:  # noqa: BLE001 - they come from several libraries
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ExportError(
            f"{repository}: the Hub does not take the model ({_without_secrets(library, said)}); "
            f"the model folder {folder.path} is whole and can be sent again; check the name, and "
            "that HF_TOKEN may write there"
        ) from None
    return str(commit.commit_url)


def _hub_library() -> Any:
    """Return the client library of the Hub.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "huggingface-hub") from error
    return huggingface_hub


def _without_secrets(library: Any, text: str) -> str:
    """Return a text without what looks like a token, and without the one that is in use."""
    if token := library.get_token():
        text = text.replace(token, "…")
    return SECRET.sub("…", text)


def model_card(folder: ModelFolder, repository: str) -> str:
    """Return the text of the card: what it is, how it was checked, how Vespa loads it."""
    address = f"https://huggingface.co/{repository}/resolve/main"
    facts = "\n".join(f"- {line}" for line in _facts(folder))
    return f"""---
tags: [colbert, late-interaction, vespa, onnx]
library_name: vespa-colbert
---

# {repository.partition("/")[2]}

A late-interaction (ColBERT) model for Vespa's `colbert-embedder`: inputs `input_ids` and
`attention_mask`, output `contextual`, {folder.embedder.dim} components a token.

{facts}

With `embedder.json` beside a recipe, `vespa-colbert generate` prints an application package that
downloads this model, every id, length and flag of its `colbert-embedder` filled in:

```toml
[model]
transformer-url = "{address}/model.onnx"
tokenizer-url = "{address}/tokenizer.json"
embedder = "embedder.json"
```
"""


def _facts(folder: ModelFolder) -> Iterator[str]:
    """Yield what is known of a model, a line each."""
    checkpoint, graph = folder.checkpoint, folder.graph
    name, layout = checkpoint.get("name", "a checkpoint"), checkpoint.get("layout", "unknown")
    yield f"made from: {name} ({layout} layout)"
    yield "license: unknown; that of the checkpoint holds, look it up before you share the model"
    yield f"packaging: {folder.packaging}{f' ({folder.reason})' if folder.reason else ''}"
    for each in folder.differences:
        changes = "" if each["faithful"] else "; **this changes scores**"
        yield (
            f"{each['point']}: the training library: {each['library']}; Vespa: "
            f"{each['vespa']}{changes}"
        )
    yield f"comparison, as float32: {folder.comparison}"
    yield from _dtype_facts(folder)
    if fused := graph.get("fused"):
        listed = ", ".join(f"{count} {operator}" for operator, count in fused.items())
        yield f"operators of ONNX Runtime's own: {listed}"
    if target := graph.get("target"):
        yield (
            f"loads in Vespa {target['vespa']} or newer (opset {graph['opset']}, IR version "
            f"{graph['ir_version']})"
        )
    yield f"facts and checksums: `{EMBEDDER_FILE}`"


def _dtype_facts(folder: ModelFolder) -> Iterator[str]:
    """Yield the dtype and, of a narrow one, what it lost."""
    yield f"dtype: {folder.graph.get('dtype', 'fp32')}"
    if loss := folder.verification.get("loss"):
        texts = f"{loss['queries']} queries and {loss['documents']} documents"
        yield f"lost on {texts}, beside float32:"
        yield from (f"  {line}" for line in loss_lines(loss["dtype"], loss))
        if loss["faults"]:
            yield "**more is lost than this tool allows by itself**"
