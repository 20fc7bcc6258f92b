"""An evaluation as one static HTML page: picture, table, losers; it needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterator

from vespa_colbert.evaluate.evaluation import Difference, Evaluation, Row
from vespa_colbert.evaluate.losers import JudgedDocument, Loser
from vespa_colbert.evaluate.picture import bytes_text, trade_off_svg
from vespa_colbert.evaluate.systems import PLAIN_TERMS

__all__ = ["collection_text", "difference_text", "evaluation_page", "method_text", "share_text"]

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, .words td, .words th { text-align: left; vertical-align: top; }
.scroll { overflow-x: auto; } .faint { color: #666; } .baseline td { font-weight: 600; }
details { margin: 0.5rem 0; } summary { cursor: pointer; }
"""


CAPTION = (
    "Upright lines: the interval of the mean over queries. Joined: what nothing beats in both "
    "respects. Across: what stores no vectors."
)


def evaluation_page(evaluation: Evaluation) -> str:
    """Return the text of an HTML file."""
    files = evaluation.collection.files
    heading = f"{files.qrels.stem} of {files.corpus.parent.name or files.corpus.stem}"
    parts = (
        f"<h1>{html.escape(heading)}</h1>",
        f"<p>{collection_text(evaluation)}</p>",
        trade_off_svg(evaluation),
        f'<p class="faint">{CAPTION}</p>',
        *_table(evaluation),
        f'<p class="faint">{html.escape(method_text(evaluation))}</p>',
        *_skipped(evaluation),
        *_losers(evaluation),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(heading)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def method_text(evaluation: Evaluation) -> str:
    """Return how the figures were made, in words."""
    sampling = evaluation.options.sampling
    return (
        f"Differences to {evaluation.options.baseline} by {evaluation.options.measure}, with "
        f"{sampling.confidence:.0%} intervals ({sampling.resamples} bootstrap samples of queries). "
        f"p: two-sided paired randomization test over {len(evaluation.collection.queries)} queries "
        f"({sampling.permutations} permutations, all of them where there are fewer; seed "
        f"{sampling.seed}). p corrected: by Holm for {max(len(evaluation.rows) - 1, 0)} systems. "
        "Bytes a document: its tensor attributes on a content node, labels and allocation included."
        f"{_terms_text(evaluation)}"
    )


def _terms_text(evaluation: Evaluation) -> str:
    plain = any(row.system.facts.get("terms") == PLAIN_TERMS for row in evaluation.rows)
    return " bm25 is over plain words; Vespa's own linguistics stems them." if plain else ""


def difference_text(difference: Difference) -> tuple[str, str, str, str]:
    """Return a difference, its interval, p, and p corrected, as a table shows them."""
    low, high = difference.interval
    return (
        f"{difference.mean:+.4f}",
        f"{low:+.4f} to {high:+.4f}",
        share_text(difference.p_value),
        share_text(difference.corrected),
    )


def share_text(value: float) -> str:
    """Return a p-value with as many digits as matter."""
    return f"{value:.4f}" if value >= 0.001 else f"{value:.1e}"


def collection_text(evaluation: Evaluation) -> str:
    """Return how much was judged, in words."""
    collection = evaluation.collection
    count = collection.unanswered
    unanswered = f" No document answers {count} of them: they count as 0." if count else ""
    queries = len(collection.queries)
    of_all = f" of {queries + collection.left_out}" if collection.left_out else ""
    return f"{len(collection.documents)} documents, {queries}{of_all} judged queries.{unanswered}"


def _table(evaluation: Evaluation) -> Iterator[str]:
    measures = evaluation.options.measures
    heads = ("system", "bytes a document", *measures)
    last = (
        f"difference, {evaluation.options.measure}",
        "interval",
        "p",
        "p corrected",
        "better / worse",
    )
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f"<th>{html.escape(each)}</th>" for each in (*heads, *last))
    yield "</tr></thead><tbody>"
    for row in evaluation.rows:
        is_baseline = row.system.name == evaluation.options.baseline
        yield f"<tr{' class=baseline' if is_baseline else ''}>"
        yield "".join(f"<td>{html.escape(each)}</td>" for each in _cells(row, evaluation))
        yield "</tr>"
    yield "</tbody></table></div>"


def _cells(row: Row, evaluation: Evaluation) -> tuple[str, ...]:
    size = row.system.bytes
    means = (f"{row.means[name]:.4f}" for name in evaluation.options.measures)
    difference = row.differences.get(evaluation.options.measure)
    compared = ("baseline", "", "", "", "")
    if difference is not None:
        compared = (*difference_text(difference), f"{difference.better} / {difference.worse}")
    return (row.system.name, "not known" if size is None else bytes_text(size), *means, *compared)


def _skipped(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.skipped:
        yield "<h2>Not ranked</h2><ul>"
        for name, reason in evaluation.skipped.items():
            yield f"<li>{html.escape(name)}: {html.escape(reason)}</li>"
        yield "</ul>"


def _losers(evaluation: Evaluation) -> Iterator[str]:
    yield f"<h2>Queries that lose most against {html.escape(evaluation.options.baseline)}</h2>"
    for row in evaluation.rows:
        if row.losers:
            yield f"<details><summary>{html.escape(row.system.name)}</summary>"
            for loser in row.losers:
                yield from _loser(loser, evaluation.options.measure)
            yield "</details>"


def _loser(loser: Loser, measure: str) -> Iterator[str]:
    change = f"{measure} {loser.baseline_value:.4f} → {loser.value:.4f}"
    yield (
        f"<p><b>{html.escape(loser.text)}</b> "
        f'<span class="faint">{html.escape(loser.query)}, {html.escape(change)}</span></p>'
        '<table class="words"><tr><th>document</th><th>grade</th><th>rank in the baseline</th>'
        "<th>rank</th></tr>"
    )
    documents = loser.judged
    if loser.first is not None and loser.first.id not in {each.id for each in documents}:
        documents = (*documents, loser.first)
    for each in documents:
        cells = (f"<td>{html.escape(cell)}</td>" for cell in _places(each))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"


def _places(document: JudgedDocument) -> tuple[str, str, str, str]:
    places = (document.baseline_rank, document.rank)
    before, now = ("not found" if each is None else str(each) for each in places)
    grade = "not judged" if document.grade is None else str(document.grade)
    return f"{document.id}: {document.title}", grade, before, now
