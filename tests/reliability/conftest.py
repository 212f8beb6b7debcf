"""One tiny good artefact of every kind, made once; the cases work on copies."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tardiff.data.dataset import Dataset
from tests.conftest import light_evaluation, make_split

from . import raw_folders


@pytest.fixture(scope="session")
def good(toy, run, clf, tmp_path_factory) -> Mapping[str, Path]:
    """Folders by name: DATA, RUN, CLF and so on."""
    from tardiff.classifier.folder import fit_classifier
    from tardiff.data.meds import export_meds
    from tardiff.evaluate import evaluate, write
    from tardiff.refine.language.training import train_language
    from tardiff.refine.policy_training import train_policy
    from tardiff.refine.settings import DiscriminatorSettings, LanguageSettings, PolicySettings, PPOSettings
    from tardiff.settings import ClassifierSettings, EvaluateSettings, GuidanceSettings, SamplerSettings
    from tardiff.synthesis.run import synthesise

    root = tmp_path_factory.mktemp("good")
    real, steps = toy[1], SamplerSettings(steps=5)
    names = {"train": 120, "validation": 60, "test": 60}
    other = Dataset(real.manifest, {name: make_split(rows, 7 + rows + k, 5000 * (k + 1)) for k, (name, rows) in enumerate(names.items())})
    other = other.completed().save(root / "OTHER")
    fit_classifier(other, ClassifierSettings("summary", epochs=1)).save(root / "OTHERCLF")
    guided = synthesise(
        run[1], 60, classifier=clf[1], guidance=GuidanceSettings(pilot=64, strength=1.0), sampler=steps, progress=False
    ).dataset.save(root / "GUIDED")
    with light_evaluation():
        result = evaluate(real, {"a": guided}, EvaluateSettings(models=("logistic",), seeds=1, ratios=(1.0,), bootstrap=20, workers=1))
    write(result, root / "EVAL", real, {"a": guided})
    quick = PPOSettings(update_epochs=1, minibatch_size=64), DiscriminatorSettings(width=8, updates=1, warm_up=1)
    train_policy(real, root / "POLICY", PolicySettings(1, rows=64, hidden=8, latent=4, check_rows=64, ppo=quick[0], discriminator=quick[1]))
    train_language(real, root / "ROWS", LanguageSettings(epochs=1, width=32, layers=1), progress=False)
    export_meds(real, root / "MEDS")
    for name, fill in raw_folders.FOLDERS.items():
        fill(root / name)
    return {"DATA": toy[0], "RUN": run[0], "CLF": clf[0], **{path.name: path for path in root.iterdir()}}
