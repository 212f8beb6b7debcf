"""Run a percent-format script as a notebook and keep what it printed and drew.

pip install nbclient ipykernel
python examples/execute.py examples/augment_physionet2012.py
"""

import re
import sys
from pathlib import Path

LARGEST = 400_000


def cells(script: str) -> list[tuple[str, str]]:
    """Kind and text of each cell: `# %%` begins one of code, `# %% [markdown]` one of text."""
    found = []
    for text, body in re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", script, re.M | re.S):
        said = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().split("\n"))
        found.append(("markdown", said) if text else ("code", body.strip()))
    return found


def main() -> None:
    """Write the executed notebook beside the script."""
    import nbformat
    from nbclient import NotebookClient

    path, new = Path(sys.argv[1]), {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    book = nbformat.v4.new_notebook(
        cells=[new[kind](text, id=f"cell-{number}") for number, (kind, text) in enumerate(cells(path.read_text()))]
    )
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
