"""Short texts on which an export is measured: questions, and passages of which one answers each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import MissingExtraError
from vespa_colbert.export.model_folder import EmbedderSpec

__all__ = ["SAMPLE_PASSAGES", "SAMPLE_QUERIES", "sample_inputs"]

SAMPLE_QUERIES = (
    "Why is the sky blue?",
    "How long do honey bees live?",
    "What makes bread dough rise?",
    "Which metal is liquid at room temperature?",
    "How do I remove a red wine stain?",
    "When was the printing press invented?",
    "What causes the tides?",
    "How does a vaccine protect against a disease?",
    "Which river flows through Vienna?",
    "What is compound interest?",
    "Wie hoch ist der Mont Blanc?",
    "¿Qué planeta tiene los anillos más visibles?",
)
"""Questions."""

SAMPLE_PASSAGES = (
    (
        "Air scatters short wavelengths of sunlight more than long ones: blue reaches the eye "
        "from every direction."
    ),
    "A worker bee lives about six weeks in summer; a queen may live for several years.",
    "Yeast ferments sugar in the dough and gives off carbon dioxide, which the gluten holds.",
    "Mercury melts at minus 39 degrees Celsius and is therefore liquid in an ordinary room.",
    "Blot the wine at once, then pour cold water or soda over the cloth; salt draws out the rest.",
    "Around 1450 Gutenberg printed with movable metal type in Mainz.",
    "The moon pulls at the oceans, and the water on both sides of the earth bulges twice a day.",
    "It shows the immune system a harmless part of a germ, so that antibodies are ready later.",
    "The Danube passes Vienna, Bratislava, Budapest and Belgrade on its way to the Black Sea.",
    "Interest that is added to the capital earns interest itself in the following years.",
    "Der Mont Blanc ist mit 4 806 Metern der höchste Berg der Alpen.",
    "Los anillos de Saturno, hechos de hielo y roca, se ven con un telescopio pequeño.",
    "A sonnet has fourteen lines; Shakespeare wrote more than a hundred and fifty of them.",
    "The bicycle chain should be cleaned and oiled after every long ride in the rain.",
    "Basalt is a dark volcanic rock that forms when lava cools quickly at the surface.",
    "In chess, castling moves the king two squares towards a rook (and only once per game).",
    "The recipe asks for 200 g of flour, 3 eggs, a pinch of salt, and half a litre of milk.",
    "Penguins cannot fly, but their wings make them fast under water.",
    "A leap year has 366 days; 1900 was none, 2000 was one.",
    "TCP numbers its segments and sends again what was not acknowledged in time.",
    "The violin has four strings, tuned in fifths: G, D, A and E.",
    "Glass is made by melting sand with soda ash and limestone at about 1 500 °C.",
    "富士山は日本で一番高い山で、標高は3,776メートルです。",
    "Wait... what?! (He did not answer.)",
)
"""Passages; the first twelve answer the questions in their order."""


def sample_inputs(
    tokenizer_text: str, spec: EmbedderSpec
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return what the encoder is given for each sample: queries first, then passages.

    Args:
        tokenizer_text: Content of ``tokenizer.json``.
        spec: Markers, lengths and ids.

    Returns:
        Ids and attention of each text, (1, token) int64 each; queries without expansion, so that
        every row counts.

    Raises:
        MissingExtraError: If tokenizers is not installed.
    """
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "tokenizers") from error
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_text)
    sides: list[tuple[tuple[str, ...], int, int]] = [
        (SAMPLE_QUERIES, spec.query_marker_id, spec.max_query_tokens),
        (SAMPLE_PASSAGES, spec.document_marker_id, spec.max_document_tokens),
    ]
    return [
        _input(tokenizer, text, spec, marker, limit)
        for texts, marker, limit in sides
        for text in texts
    ]


def _input(
    tokenizer: Any, text: str, spec: EmbedderSpec, marker: int, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    tokens = tokenizer.encode(text, add_special_tokens=False).ids[: limit - 3]
    ids = np.array([[spec.start_id, marker, *tokens, spec.end_id]], np.int64)
    return ids, np.ones_like(ids)
