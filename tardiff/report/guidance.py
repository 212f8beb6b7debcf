"""How guidance acted: what each set's manifest says of it."""

from tardiff.report.parts import Figure, Section, Table, panel
from tardiff.report.report_input import ReportInput
from tardiff.report.svg import Panel, Scale

LINES = {
    "ratio": "guide's change ÷ sampler's update",
    "change": "guide's change (root mean square)",
    "update": "sampler's update (root mean square)",
}


def guidance(evaluation: ReportInput) -> Section | None:
    """How far each guided set was moved, and at which steps."""
    told = {name: described.origin.movement for name, described in evaluation.result.synthetic.items()}
    moved = {name: movement for name, movement in told.items() if movement}  # the others were not guided, or do not tell
    if not moved:
        return None
    section = Section(
        "guidance", "How guidance acted", "From the manifests of the guided sets: guided samples against unguided ones of the same seeds."
    )
    panels = []
    for key, title in LINES.items():
        last = max(step.step for movement in moved.values() for step in movement.steps)
        numbers = [getattr(step, key) for movement in moved.values() for step in movement.steps]
        plot = Panel(f"{title}, by reverse step", Scale(0, last or 1), Scale(0, 1.08 * max(numbers) or 1.0), x_title="reverse step")
        for name, movement in moved.items():
            plot.line([step.step for step in movement.steps], [getattr(step, key) for step in movement.steps], evaluation.colour(name))
        panels.append(panel(plot.svg(), title))
    section.items.append(
        Figure(
            "Guidance over the steps",
            "Across: reverse steps, from pure noise (0) to the record. Where the guide's change is a small part of the sampler's update, "
            "the guide hardly steers; where it is zero, its window is over or its strength is 0. Classifier-free guidance works inside the "
            "sampler's network and is not drawn; what both changed together stands below.",
            panels,
            "panels wide",
            [(evaluation.colour(name), name) for name in moved],
        )
    )
    rows = [[name, f"{m.rows:,}", f"{m.value:.4f}", "yes" if m.inert else "no"] for name, m in moved.items()]
    head = ["set", "samples compared", "values moved by (sd)", "inert"]
    section.items.append(Table("What it changed", "Root mean square over all values, in standard deviations of the real ones.", head, rows))
    return section
