import pytest

from tardiff.evaluate import evaluate, write
from tardiff.settings import EvaluateSettings, GuidanceSettings, SamplerSettings
from tardiff.synthesis.run import synthesise
from tests.conftest import light_evaluation


@pytest.fixture(scope="session")
def drawn(run, clf):
    """An unguided and a guided set of the pipeline."""
    pipeline, guided = run[1], GuidanceSettings(objective="raw=1", strength=2.0)
    settings = {"unguided": (GuidanceSettings(guidance="none"), ()), "guided": (guided, clf[1])}
    return {
        name: synthesise(pipeline, 120, guidance=guidance, classifier=classifier, sampler=SamplerSettings(steps=5), progress=False).dataset
        for name, (guidance, classifier) in settings.items()
    }


@pytest.fixture(scope="session")
def evaluated(toy, drawn, tmp_path_factory):
    """An evaluation folder."""
    path = tmp_path_factory.mktemp("evaluated") / "evaluation"
    with light_evaluation():
        result = evaluate(toy[1], drawn, EvaluateSettings(models=("logistic",), seeds=3, ratios=(0.5, 1.0), bootstrap=50, workers=1))
    write(result, path, toy[1], drawn)
    return path
