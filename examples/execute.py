"""Run a percent-format script as a notebook and keep what it printed and drew.

pip install nbclient ipykernel
python examples/execute.py examples/augment_physionet2012.py
"""

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LARGEST = 400_000


def notebook(script: str) -> nbformat.NotebookNode:
    """The cells of a script: `# %%` begins one of code, `# %% [markdown]` one of text."""
    cells = []
    for kind, body in re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", script, re.M | re.S):
        if kind:
            cells.append(
                nbformat.v4.new_markdown_cell("\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().split("\n")))
            )
        else:
            cells.append(nbformat.v4.new_code_cell(body.strip()))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=cells)


def main() -> None:
    """Write the executed notebook beside the script."""
    path = Path(sys.argv[1])
    book = notebook(path.read_text())
    NotebookClient(book, timeout=3600, kernel_name="python3", record_timing=False).execute()
    for cell in book.cells:  # warnings speak of the machine, not of the example
        if "outputs" in cell:
            cell["outputs"] = [out for out in cell["outputs"] if out.get("name") != "stderr"]
    text = nbformat.writes(book)
    if len(text) > LARGEST:
        raise SystemExit(f"{path}: the notebook has {len(text):,} bytes, more than {LARGEST:,}")
    path.with_suffix(".ipynb").write_text(text)


if __name__ == "__main__":
    main()
