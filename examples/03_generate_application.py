"""Model folder → application package that `vespa deploy` takes, and its schema read back."""

import sys
from pathlib import Path

from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.export import read_model_folder
from vespa_colbert.pipeline import only_schema
from vespa_colbert.rank import parse_expression

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
spec = application_spec(folder_embedder(read_model_folder(folder / "model")), AppOptions())
package = render_app(spec, folder / "app", parse=parse_expression)

print(*sorted(package.files), sep="\n")
for profile in only_schema(folder / "app").rank_profiles:
    print(f"  {profile.name:<16}{profile.first_phase or '(inherited)'}")
