"""One cell: a peer is fitted in its environment, its samples are judged by the functions of `tardiff evaluate`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.harness.data import arranged
from experiments.harness.protocol import load
from experiments.harness.run import OPENINGS
from experiments.peers.clock import CORES, SHARED
from experiments.peers.exchange import dataset_of, records_of, without_descriptors
from experiments.peers.membership import calibrated_membership
from experiments.peers.protocol import HOURS_TO_DRAW, MOST_TEST_ROWS, RULES, Peer
from tardiff.base.ledger import Ledger
from tardiff.base.noise import stream
from tardiff.compare.baselines import BASELINES
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.labels import draw_labels
from tardiff.errors import InputError, TardiffError
from tardiff.evaluate.bootstrap import Resamples, packed
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.fidelity import FLOOR, draw_samples, value_distances
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import auprc, auroc
from tardiff.evaluate.pool import run_fits
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Trial
from tardiff.evaluate.realism import clinical_distance, default_rules, discriminate
from tardiff.evaluate.row_sets import Part, Parts, RowSets, thinned
from tardiff.evaluate.train_and_judge import judge_fit, judged, tstr
from tardiff.settings import EvaluateSettings

ROOT = Path(__file__).parents[2]
CONFIRMATION = "confirmation"
JUDGES: tuple[Any, ...] = ("gru", "trees", "logistic")
METRICS = {"auprc": auprc, "auroc": auroc}
DISTANCES = (
    *("told_apart_trees", "told_apart_gru", "told_apart_charting"),
    *("ks", "correlation", "autocorrelation_function", "clinical"),
)


@dataclass(frozen=True)
class Lab:
    """A data set, where its cells work, and how thoroughly they judge.

    Attributes:
        data: the real stays, without descriptors, split by the harness's rule.
        name: of the data set.
        work: folder of jobs and fits.
        environments: folder of the peers' environments.
        seconds: to train.
        fits: of each judge.
        resamples: of test patients.
    """

    data: Dataset
    name: str
    work: Path
    environments: Path
    seconds: float
    fits: int = 3
    resamples: int = 200

    @classmethod
    def open(cls, folder: Path, name: str, work: Path, environments: Path, seconds: float, **more: int) -> "Lab":
        """Read a dataset folder.

        Raises:
            TardiffError: it is none, or its test rows are for the confirmation, which has not been run.
        """
        rule = load().data[RULES[name]]
        if CONFIRMATION in rule.test_for and not Ledger(OPENINGS).find(data=RULES[name], study=CONFIRMATION):
            raise InputError(f"{name}: the {CONFIRMATION} opens its test rows before anything else reads them; run the harness first")
        data = without_descriptors(arranged(Dataset.load(folder), rule))
        test = thinned(data.split("test"), MOST_TEST_ROWS, 0)
        return cls(Dataset(data.manifest, {**data.splits, "test": test}).completed(), name, work, environments, seconds, **more)

    @cached_property
    def codec(self) -> Codec:
        """Fitted on the training stays; through it judges see records."""
        return Codec.fit(self.data.train, self.data.manifest)

    @cached_property
    def sets(self) -> RowSets:
        """Training, validation and test rows."""
        return RowSets({role: Rows.of(split, self.codec) for role, split in self.data.splits.items()})

    @cached_property
    def resampled(self) -> Resamples:
        """Test patients, the same in every cell, so that cells pair."""
        return Resamples.draw(self.data.split("test").subject_id, self.resamples, stream("judges", 0))

    def labels(self, seed: int) -> NDArray[np.int64]:
        """Of a synthetic set: as many as training stays, in their shares."""
        return draw_labels("train", np.bincount(self.data.train.label).tolist(), len(self.data.train), seed)

    def fitted(self, peer: Peer, setting: str, seconds: float, seed: int, learn: Split | None = None) -> tuple[Dataset, dict[str, Any]]:
        """A peer's samples and what they cost; what stands in the work folder is taken from there, if it was asked for alike.

        Args:
            peer: what is fitted.
            setting: one of its settings.
            seconds: to train.
            seed: of everything.
            learn: the stays that it learns; the training stays for None.

        Raises:
            PeerError: with the reason, in a line.
        """
        rows = self.data.train if learn is None else learn
        name = "-".join(filter(None, (self.name, peer.adapter, peer.function, peer.fixed.get("model"), setting)))
        job = self.work / f"{name}-{seconds:g}-{seed}{'' if learn is None else '-reference'}"
        asked = {"adapter": peer.adapter, "function": peer.function, "setting": peer.setting(setting), "seconds": seconds, "seed": seed}
        asked["rows"] = Dataset(self.data.manifest, {"train": rows}).completed().manifest.content_hash
        if not (job / "costs.json").exists() or json.loads((job / "job.json").read_text()) != json.loads(json.dumps(asked)):
            self._write(job, asked, rows)
            self._run(job, peer, seconds)
        try:
            samples = dataset_of(job / "samples.npz", self.data)
        except TardiffError as error:
            raise PeerError(str(error)) from error
        return samples, json.loads((job / "costs.json").read_text())

    def _write(self, job: Path, asked: dict[str, Any], rows: Split) -> None:
        shutil.rmtree(job, ignore_errors=True)
        job.mkdir(parents=True)
        Dataset(self.data.manifest, {"train": rows}).save(job / "dataset")
        records_of(rows, self.data.manifest).save(job / "train.npz")
        np.save(job / "labels.npy", self.labels(asked["seed"]))
        (job / "job.json").write_text(json.dumps(asked))

    def _run(self, job: Path, peer: Peer, seconds: float) -> None:
        python = self.python(peer)
        variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(CORES))
        variables["OMP_WAIT_POLICY"] = "PASSIVE"  # waiting for a processor that somebody else uses must not look like work
        with (job / "log.txt").open("w") as log:
            try:
                done = subprocess.run(
                    [str(python), "-m", "experiments.peers.worker", str(job.absolute())],
                    env=os.environ | variables | {"PYTHONPATH": str(ROOT)},
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=SHARED * seconds + 3600 * HOURS_TO_DRAW,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise PeerError(f"drew no {len(np.load(job / 'labels.npy')):,} stays in {HOURS_TO_DRAW:g} h") from error
        if done.returncode:
            said = [line for line in (job / "log.txt").read_text(errors="replace").splitlines() if line.strip()]
            raise PeerError(said[-1][:300] if said else f"ended with status {done.returncode} and no word")

    def python(self, peer: Peer) -> Path:
        """The Python of a peer's environment.

        Raises:
            PeerError: it could not be made.
            InputError: nobody has tried to make it.
        """
        if not peer.environment:
            return Path(sys.executable)
        folder = self.environments / peer.environment
        if (folder / "reason.txt").exists():
            raise PeerError((folder / "reason.txt").read_text().strip())
        if not (folder / "bin" / "python").exists():
            raise InputError(f"{folder}: no environment; make it with python -m experiments.peers.environments {peer.environment}")
        return folder / "bin" / "python"

    def trial(self, peer: Peer, setting: str, seconds: float, seed: int) -> dict[str, Any]:
        """What validation rows say of a setting: AUPRC of quick judges that learnt its samples."""
        samples, costs = self.fitted(peer, setting, seconds, seed)
        validation = self.sets.rows["validation"]
        plain = Resamples(np.ones((1, len(validation)), np.float32))
        return {"auprc": float(tstr(Rows.of(samples.train, self.codec), validation, plain, seed)[0].mean()), **costs}

    def result(self, peer: Peer, setting: str, seed: int) -> dict[str, Any]:
        """All columns but membership."""
        if peer.augments:
            changed = BASELINES[peer.function](self.sets.rows["train"], 1.0, seed)
            return {"tsrtr": self.figures((Part("learnt"),), self.sets.adding(learnt=changed), seed)}
        samples, costs = self.fitted(peer, setting, self.seconds, seed)
        sets = self.sets.adding(synthetic=Rows.of(samples.train, self.codec))
        return {
            "tstr": self.figures((Part("synthetic"),), sets, seed),
            "tsrtr": self.figures((Part("train"), Part("synthetic")), sets, seed),
            **self.distances(samples.train, seed),
            **costs,
        }

    def real(self, seed: int) -> dict[str, Any]:
        """The columns of real stays: judges of the training stays, and held-out stays beside the training stays."""
        return {"tstr": self.figures((Part("train"),), self.sets, seed), **self.distances(self.data.split("test"), seed)}

    def figures(self, learn: Parts, sets: RowSets, seed: int) -> dict[str, dict[str, Any]]:
        """By judge AUPRC and AUROC on test rows, mean of its fits, and the AUPRC of every resample of the patients."""
        ask = {"test": (Part("test"),)}
        seeds = [self.fits * seed + k for k in range(self.fits)]
        fits = {judge: [judge_fit(judge, learn, ask, number, sets) for number in seeds] for judge in JUDGES}
        done = run_fits([fit for of in fits.values() for fit in of], sets, CORES, Cache(self.work / "fits"))
        found = {}
        for judge, of in fits.items():
            score = np.stack([done[fit]["test"] for fit in of])
            draws = {name: d.mean(1) for name, d in judged(sets.rows["test"].label, score, self.resampled, METRICS).items()}
            found[judge] = {name: round(float(d[0]), 5) for name, d in draws.items()} | {"draws": packed(draws["auprc"])}
        return found

    def distances(self, rows: Split, seed: int) -> dict[str, float | None]:
        """Columns that need no judge of the task, each a mean over channels or pairs; discriminators read decoded records."""
        train, manifest = self.data.train, self.data.manifest
        samples = draw_samples({"train": train, FLOOR: rows}, seed)
        settings = EvaluateSettings(models=JUDGES, seeds=1, seed=seed, workers=CORES)
        found = value_distances(samples[FLOOR], samples["train"], manifest)
        found |= clinical_distance(samples[FLOOR], samples["train"], manifest, default_rules())
        found |= discriminate(samples, settings, Cache(self.work / "fits")).distances[FLOOR]
        return {name: _value(found[name].written()) for name in DISTANCES}

    def membership(self, peer: Peer, setting: str, seed: int) -> dict[str, Any]:
        """Attacks on the training stays, calibrated by the peer as it is when it learns stays that nobody attacks."""
        trial = Trial.draw(self.data, "train", "train", len(self.data.train), seed)
        samples, _ = self.fitted(peer, setting, self.seconds, seed)
        reference, _ = self.fitted(peer, setting, self.seconds, seed, trial.reference)
        return calibrated_membership(trial, samples.train, reference.train, Knowledge.of(self.data, self.codec))


class PeerError(Exception):
    """A peer could not be fitted or sampled; the message is the reason that the table gives."""


def _value(written: Mapping[str, Any]) -> float | None:
    """The number itself, or its mean over channels; None if it is not defined."""
    value = written.get("mean", written)["value"]
    return None if value is None else round(float(value), 5)
