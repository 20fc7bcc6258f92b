"""``python -m vespa_colbert``."""

from __future__ import annotations

from vespa_colbert.cli.main import main

if __name__ == "__main__":
    main()
