"""The trace that a guide leaves, early and late: how well the label can be read where patients hardly vary.

Guided and unguided samples of the same seeds, as the judges read them (49 summary features), in the principal components of the
unguided ones: those that hold 95 % of their variance, and the rest. See `tardiff.synthesis.diagnosis.label_traces`.

    python -m experiments.guidance.traces --data runs/p12/data --work runs/guidance --out experiments/guidance/traces.json
"""

from dataclasses import asdict, replace

from experiments.guidance.cells import asked_for
from experiments.guidance.run import CLASSIFIER, COSINE
from tardiff.base.estimates import shown
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.data.labels import draw_labels
from tardiff.settings import GuidanceSettings
from tardiff.synthesis.diagnosis import label_traces
from tardiff.synthesis.run import synthesise

ROWS = 1024
GUIDES = {
    "default": GuidanceSettings(pilot=512),
    "classifier-free": GuidanceSettings(guidance="classifier-free"),
    "classifier": CLASSIFIER,
    "cosine": COSINE,
    "raw": replace(COSINE, objective="raw=1"),
}
WINDOWS = {"first 40 %": 0.4, "all steps": 1.0}


def main() -> None:
    """Trace every guide in every window."""
    lab, out = asked_for(__doc__, "JSON file to write")
    pipeline = lab.generator
    label, seeds = draw_labels("balanced", (1, 1), ROWS, lab.seed), row_seeds(lab.seed, range(ROWS))
    unguided = lab.rows(pipeline.dataset(pipeline(label, seeds), {}).train)
    print("| guide | steps | little variance: from the difference | guided | unguided | classes drawn apart, sd: most variance | little |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    result = []
    for name, settings in GUIDES.items():
        for steps, window in WINDOWS.items():
            folders, guidance = lab.classifiers("committee"), replace(settings, window=window)
            made = synthesise(pipeline, ROWS, classifier=folders, guidance=guidance, label=label, seed=lab.seed, progress=False)
            guided = lab.rows(made.dataset.train)
            most, little = label_traces(guided.features, unguided.features, label, lab.seed)
            result.append({"guide": name, "steps": steps, "traces": [asdict(most), asdict(little)]})
            read = (shown(*number, digits=2) for number in (little.difference, little.guided, little.unguided))
            print(f"| {name} | {steps} | {' | '.join(read)} | {most.shift:.2f} | {little.shift:.2f} |", flush=True)
    write_json(out, result)


if __name__ == "__main__":
    main()
