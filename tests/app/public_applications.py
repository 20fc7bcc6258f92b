"""What the public applications of Vespa rank by, and the recipes that make the same.

Stated are facts of their rank profiles: phases with all functions put in their places, counts and
rank properties, under the names that they have there. ``VESPA_COLBERT_SCHEMA_CORPUS`` may name a
folder with Vespa's sample applications, against which the facts are checked.
"""

from __future__ import annotations

from tests.app.public_facts import Alike, PublicRecipe
from tests.app.public_notebooks import NOTEBOOKS
from tests.app.public_samples import SAMPLE_APPLICATIONS

__all__ = ["APPLICATIONS", "Alike", "PublicRecipe"]

APPLICATIONS: tuple[PublicRecipe, ...] = (*SAMPLE_APPLICATIONS, *NOTEBOOKS)
