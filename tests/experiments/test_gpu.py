import json

from experiments.benchmarks import gpu
from tardiff.base.device import use_device


def test_the_benchmark_of_a_gpu_runs_to_its_end_without_one(tmp_path):
    small = ["--rows", "64", "--steps", "6", "--widths", "8", "--seconds", "20"]
    try:
        gpu.main([*small, "--device", "cpu", "--out", str(tmp_path / "gpu.json")])
    finally:
        use_device("cpu")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["difference"] == {"unguided": 0, "guided": 0}
    assert found["devices"]["cpu"]["guided rows a second"] > 0
