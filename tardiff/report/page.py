"""The report as one HTML file that needs nothing else."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from tardiff.base.files import new_file
from tardiff.base.markdown import versioned
from tardiff.report.fidelity import fidelity
from tardiff.report.guidance import guidance
from tardiff.report.in_short import in_short
from tardiff.report.privacy import privacy
from tardiff.report.provenance import SIMULATED, commands, provenance
from tardiff.report.realism import realism
from tardiff.report.report_input import ReportInput
from tardiff.report.utility import subgroups, utility
from tardiff.report.verdict import verdict

PACKAGE = "tardiff.report"
CHAPTERS = (utility, fidelity, realism, privacy, subgroups, guidance, provenance)


def report(evaluation: str | Path, out: str | Path, titles: Mapping[tuple[str, str], str] = MappingProxyType({})) -> Path:
    """Write the report of an evaluation folder; returns its path.

    Args:
        evaluation: folder that `tardiff evaluate` wrote.
        out: HTML file to write.
        titles: what channels are, by name and unit, where the name does not say it.

    Raises:
        TardiffError: `evaluation` is no such folder, or `out` exists or cannot be written.
    """
    page = render(ReportInput.load(evaluation), titles)
    with new_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(out)


def render(evaluation: ReportInput, titles: Mapping[tuple[str, str], str] = MappingProxyType({})) -> str:
    """The page; a section that has nothing to show is left out."""
    named = {c.name: title for c in evaluation.curves.channels if (title := titles.get((c.name, c.unit)))}
    template, style = template_and_style("template.html.j2")
    return template.render(
        result=evaluation.result,
        sets=evaluation.legend,
        named=named,
        short=in_short(evaluation),
        answers=verdict(evaluation),
        sections=[section for chapter in CHAPTERS if (section := chapter(evaluation)) is not None],
        commands=commands(evaluation),
        style=style,
        simulated=SIMULATED,
    )


def template_and_style(name: str) -> tuple[Template, Markup]:
    """A template of this package, and the style that all pages share."""
    environment = Environment(
        loader=PackageLoader(PACKAGE, ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source, _, _ = environment.loader.get_source(environment, "style.css")  # type: ignore[union-attr]
    return environment.get_template(name, globals={"versioned": versioned}), Markup(source)
