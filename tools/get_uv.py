"""Put a pinned uv into a folder, with nothing but Python 3.11+ and the package registry.

Usage: python3 tools/get_uv.py FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

UV = "uv==0.13.8"
OLDEST = (3, 11)


def main() -> int:
    """Return 0 when FOLDER/bin/uv is there."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(
            f"expected Python 3.11 or newer, got {found} ({sys.executable}); "
            "name another one with: make PYTHON=python3.12 ...\n"
        )
        return 1
    folder = Path(sys.argv[1])
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with_pip(part)
    except (subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(
            f"uv could not be installed ({error}); is the package registry reachable? "
            "On Debian and Ubuntu the packages python3-venv or python3-pip are needed.\n"
        )
        shutil.rmtree(part, ignore_errors=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return 0


def with_pip(part: Path) -> None:
    """Install uv by the pip of a fresh environment, or by the machine's own where venv has none."""
    quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        venv.create(part, with_pip=True)
        subprocess.run([part / "bin" / "python", "-m", "pip", *quiet, UV], check=True)
        binary = part / "bin" / "uv"
    except (subprocess.CalledProcessError, SystemExit, OSError):
        shutil.rmtree(part, ignore_errors=True)
        target = ["--target", str(part / "lib"), UV]
        subprocess.run([sys.executable, "-m", "pip", *quiet, *target], check=True)
        binary = part / "lib" / "bin" / "uv"
    # The binary needs nothing beside it; the environment it came in does not survive the rename.
    kept = part.with_name(part.name + ".uv")
    shutil.copy2(binary, kept)
    shutil.rmtree(part)
    (part / "bin").mkdir(parents=True)
    shutil.move(kept, part / "bin" / "uv")


if __name__ == "__main__":
    sys.exit(main())
