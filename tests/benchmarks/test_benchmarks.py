"""The benchmark's contenders do the work they are timed for."""

import json
import subprocess
import sys

import pytest
import torch

from inflib.benchmarks import paper
from inflib.benchmarks.contenders import Contenders
from inflib.benchmarks.gradient_speed import Settings, describe, errors, response_mode
from inflib.benchmarks.paper import PaperSketch
from inflib.benchmarks.timing import figures, ratio, run_in_turn
from inflib.benchmarks.workload import HH_LENGTHS, hh_pairs, reward_model
from tests.support.files import ROOT

TINY = Settings(shape="tiny", num_pairs=12, sketch_size=512, repeats=1)


def test_ours_is_what_plain_autograd_gives():
    found = errors(TINY)
    assert found["max_rel_err_float64"] < 1e-9
    assert found["max_rel_err_float32"] < 1e-5


def test_loops_leave_weights_and_requires_grad_to_each_other():
    contenders = Contenders(reward_model("tiny", torch.float32), hh_pairs(6), 512, 4096)
    before = [parameter.clone() for _, parameter in contenders.blocks]
    assert contenders.ours() == contenders.training_step() == 6
    assert contenders.autograd_loop(2) == contenders.datainf_two_pass(2) == 3
    assert contenders.autograd_loop(48) == 1
    assert contenders.ours() == 6
    assert not any(parameter.requires_grad for _, parameter in contenders.blocks)
    after = [parameter for _, parameter in contenders.blocks]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert contenders.sketch_seconds > 0


def test_the_pairs_have_the_lengths_of_real_ones():
    lengths = [(len(u.prefix), *map(len, u.tails)) for u in hh_pairs(48)]
    assert tuple(lengths) == HH_LENGTHS
    assert sorted(HH_LENGTHS, key=sum) == list(HH_LENGTHS)
    found = describe(TINY)
    assert found["tokens_unshared_over_shared"] == pytest.approx(1.45, abs=0.1)


def test_six_comparisons_are_done_per_prompt():
    found = response_mode(TINY, torch.float32)
    assert found["response_over_comparison"] > 0
    assert len(found["response_unit"]["seconds_per_pair"]) == 1


def test_contenders_run_in_turn_and_ratios_pair_neighbours():
    order: list[str] = []

    def contender(name):
        def run():
            order.append(name)
            return 2

        return run

    run_in_turn({name: contender(name) for name in "ab"}, repeats=3)
    assert order == list("ababab")
    found = {"slow": figures([2.0, 4.0, 9.0]), "fast": figures([1.0, 1.0, 3.0])}
    assert ratio(found, "slow", "fast") == 3.0
    assert found["slow"]["pairs_per_s"] == 0.25


def test_the_paper_compression_is_linear_and_keeps_single_entries(monkeypatch):
    monkeypatch.setattr(paper, "_FACTORS", 12)  # 100 shuffles of 2^24 take 10 s
    sketch = PaperSketch(1000, 64)
    one = torch.zeros(1000)
    one[17] = 3.0
    assert sketch(one).abs().sort().values[-2:].tolist() == [0.0, 3.0]
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sketch(x + one), sketch(x) + sketch(one))


@pytest.mark.slow
def test_the_gpu_check_runs_on_a_cpu_too(tmp_path):
    command = [sys.executable, "-W", "ignore", str(ROOT / "scripts" / "gpu_check.py")]
    options = ["--device", "cpu", "--shape", "tiny", "--check-shape", "tiny"]
    out = tmp_path / "gpu.json"
    subprocess.run([*command, *options, "--pairs", "6", "--json", out], check=True)
    found = json.loads(out.read_text())
    assert found["checks"]["sketch_same_bits_twice"]
    assert sum(found["speed"]["share_of_time"].values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_the_benchmark_prints_and_writes_all_its_figures(tmp_path):
    out = tmp_path / "gradients.json"
    command = [sys.executable, "-W", "ignore", "-m", "ray_jobs.benchmark", "gradients"]
    options = ["--shape", "tiny", "--pairs", "18", "--repeats", "1", "--json", str(out)]
    subprocess.run([*command, *options], check=True, cwd=ROOT)
    found = json.loads(out.read_text())
    for part in (found, found["bf16"]):
        for name in ("ours", "training_step", "autograd_loop", "paper_loop"):
            assert part[name]["pairs_per_s"] > 0
        assert {"ours_over_training_step", "ours_over_paper_loop"} <= part.keys()
    assert found["orchestration"]["one_worker_over_bare_loop"] > 0
    refused = subprocess.run(
        [*command, "--repeats", "1"], capture_output=True, cwd=ROOT
    )
    assert refused.returncode == 2 and b"usage" in refused.stderr
