"""What `make docs` adds to the pages: the commands' page, mathematics as MathML, and links that leave the site as paths.

MkDocs calls the functions by name (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

import html
import os
import posixpath
import re
import textwrap
import warnings
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

import tyro
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tardiff.commands import COMMANDS

LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?!https?:|mailto:|#)[^)#\s]+)(#[^)\s]*)?\)")
ROOT = Path(__file__).parents[1]
RESULTS = "experiments/README.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code and from files of the repository."""
    files.append(File.generated(config, "reference/cli.md", content=commands_page()))
    files.append(File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text()))
    results = LINK.sub(r"\1[\2](../experiments/\3\4)", (ROOT / RESULTS).read_text())
    files.append(File.generated(config, "results.md", content=results))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a file of the repository that is no page of the site becomes its path.

    Raises:
        PluginError: there is no such file.
    """

    def outside(match: re.Match[str]) -> str:
        image, text, target, _ = match.groups()
        here = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
        path = posixpath.normpath(posixpath.join(here, target))
        if path == RESULTS:
            return f"[{text}]({posixpath.relpath('docs/results.md', here)})"
        if image or path.startswith("docs/"):
            return match.group()
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri}: {target} does not exist")
        return f"`{path}`" if text.strip("`") in (path, Path(path).name) else f"{text} (`{path}`)"

    return LINK.sub(outside, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """TeX between dollars, which arithmatex has marked, as MathML: browsers draw it without a script."""

    def drawn(match: re.Match[str]) -> str:
        tag, tex = match.groups()
        return convert(html.unescape(tex[2:-2]).strip(), display="block" if tag == "div" else "inline")

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', drawn, content, flags=re.S)


def commands_page() -> str:
    """Every command as its `--help` has it: what it does, examples, and its options by group."""
    parts = [
        "# Commands",
        "The options are read from the commands themselves. `tardiff COMMAND --help` prints the same in the terminal.",
    ]
    os.environ["COLUMNS"] = "1000"
    for name, command in COMMANDS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parser = tyro.extras.get_parser(command, prog=f"tardiff {name}")
        parts += [f"## `tardiff {name}`", *_described(parser.description or ""), *_options(parser)]
    return "\n\n".join(parts) + "\n"


def _described(text: str) -> list[str]:
    """Paragraphs; indented ones are files, and what follows `For instance:` are commands."""
    said, _, examples = text.partition("For instance:\n")
    parts = []
    for part in re.split(r"\n{2,}", said.strip()):
        file = part.startswith("  ")
        parts.append(f"```yaml\n{textwrap.dedent(part)}\n```" if file else html.escape(" ".join(part.split()), quote=False))
    return [*parts, "```sh\n" + "\n".join(line.strip() for line in examples.strip().splitlines()) + "\n```"] if examples else parts


def _options(parser: ArgumentParser) -> list[str]:
    rows = []
    for action in parser._actions:
        if action.help == SUPPRESS or action.dest == "help":
            continue
        text = " ".join((action.help or "").split())
        text, _, default = text.rpartition(" (default: ") if " (default: " in text else (text, "", "")
        required = "(required)" in text
        names = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar}`"
        shown = "required" if required else f"`{default[:-1]}`" if default else ""
        rows.append((names, _values(action), shown, _cell(text.replace(" (required)", ""))))
    head = ["| option | value | default | what it does |", "|---|---|---|---|"]
    return ["\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])]


def _values(action: Any) -> str:
    shown = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    shown = shown.replace("{None}|", "").replace("|", ", ")
    return f"`{shown}`" if action.option_strings and shown else ""


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")
