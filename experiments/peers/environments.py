"""Makes the peers' Python environments, each of pinned packages, one after the other.

python -m experiments.peers.environments --at runs/peers/env mostlyai sdv tsgm gents

What cannot be made leaves its reason in `NAME/reason.txt`, which becomes the peer's row of the table; the same command tries again.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in (HERE / "requirements").glob("*.txt")))
UNWANTED = {"mostlyai": ("torchvision", "torchaudio")}
"""Taken out again: builds that clash with a torch for CPUs, and that the peer imports only where they are there."""
IMPORTS = {
    "mostlyai": "from mostlyai import engine",
    "sdv": "from sdv.sequential import PARSynthesizer",
    "tsgm": "import os; os.environ['KERAS_BACKEND'] = 'torch'; import tsgm",
    "gents": "import lightning, torch, einops, ema_pytorch, torchcde, ot",
}


def make(name: str, at: Path, python: str) -> str | None:
    """Make one environment, unless it stands already; returns why it could not be made.

    Args:
        name: of a file in `requirements`.
        at: folder of the environments.
        python: that the environment is made with.
    """
    folder = at / name
    reason = folder / "reason.txt"
    if folder.exists() and not reason.exists():
        return None
    partial = at / f"{name}.partial"
    for old in (folder, partial):
        shutil.rmtree(old, ignore_errors=True)
    own = str(partial / "bin" / "python")
    requirements = HERE / "requirements" / f"{name}.txt"
    wanted = [
        [python, "-m", "venv", str(partial)],
        [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(requirements)],
        *([[own, "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED[name]]] if name in UNWANTED else []),
        [own, "-c", IMPORTS[name]],
    ]
    at.mkdir(parents=True, exist_ok=True)
    for command in wanted:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            folder.mkdir()
            reason.write_text(f"environment not made: {said[-1] if said else f'status {done.returncode}'}\n")
            return reason.read_text().strip()
    partial.rename(folder)
    return None


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=Path, required=True, help="folder of the environments, some 7 GB")
    parser.add_argument("--python", default=sys.executable, help="3.11, which the versions are pinned for")
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(NAMES), help=f"{', '.join(NAMES)} (default: all)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such environment: {', '.join(sorted(unknown))}")
    failed = {name: why for name in options.names if (why := make(name, options.at, options.python))}
    for name, why in failed.items():
        print(f"{name}: {why}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
