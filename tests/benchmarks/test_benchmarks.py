"""Benchmarks: contenders do the work they are timed for, ratios are of their times."""

import itertools
import json
import re
import statistics
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from inflib.benchmarks import contenders as contenders_module
from inflib.benchmarks import gpu, paper, timing
from inflib.benchmarks.contenders import Contenders
from inflib.benchmarks.gradient_speed import Settings, describe, errors, response_mode
from inflib.benchmarks.paper import PaperSketch
from inflib.benchmarks.scale_inputs import write_inputs
from inflib.benchmarks.timing import ratio, run_in_turn, speed_of
from inflib.benchmarks.training_speed import measure, recurring_workload
from inflib.benchmarks.workload import HH_LENGTHS, hh_pairs, reward_model
from inflib.model.packing import pack, plan_batches
from tests.support.files import ROOT

QUICK = 18
"""2^QUICK entries are shuffled in the paper's compression; 100 shuffles of 2^24 take 10
seconds."""

TINY = Settings(shape="tiny", num_pairs=12, sketch_size=512, repeats=1)


def clock(*durations):
    """Stands in for the module `time`: what is timed takes these seconds in turn."""
    now, num_readings = 0.0, 0

    def perf_counter():
        nonlocal now, num_readings
        if num_readings % 2:  # the second reading of a start and an end
            now += durations[num_readings // 2 % len(durations)]
        num_readings += 1
        return now

    return SimpleNamespace(perf_counter=perf_counter)


def test_ours_is_what_plain_autograd_gives():
    max_rel_error = errors(TINY)
    assert max_rel_error["max_rel_err_float64"] < 1e-9
    assert max_rel_error["max_rel_err_float32"] < 1e-5


def test_contenders_do_their_share_of_the_pairs_and_change_no_weight():
    contenders = Contenders(reward_model("tiny", torch.float32), hh_pairs(6), 512, 4096)
    before = [parameter.clone() for _, parameter in contenders.blocks]
    assert contenders.ours() == contenders.training_step() == 6
    assert contenders.autograd_loop(2) == contenders.datainf_two_pass(2) == 3
    assert contenders.autograd_loop(48) == 1
    assert contenders.ours() == 6
    assert not any(parameter.requires_grad for _, parameter in contenders.blocks)
    after = [parameter for _, parameter in contenders.blocks]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_sketch_seconds_are_those_of_one_call_per_block_and_batch(monkeypatch):
    monkeypatch.setattr(contenders_module, "time", clock(1.0))
    contenders = Contenders(reward_model("tiny", torch.float32), hh_pairs(6), 512, 1024)
    num_batches = len(list(plan_batches(contenders.pairs, 1024, flat=True)))
    assert num_batches > 1
    for _ in range(2):  # counted anew in every run
        contenders.ours()
        num_blocks = len(contenders.sketcher.gradients.blocks)
        assert contenders.sketch_seconds == num_blocks * num_batches


def test_the_pairs_have_the_lengths_of_real_ones():
    lengths = [(len(u.prefix), *map(len, u.tails)) for u in hh_pairs(48)]
    assert tuple(lengths) == HH_LENGTHS
    assert sorted(HH_LENGTHS, key=sum) == list(HH_LENGTHS)


def test_token_counts_are_those_of_the_pairs():
    facts = describe(TINY)
    lengths = [HH_LENGTHS[4 * i] for i in range(12)]
    shared = sum(map(sum, lengths))
    unshared = shared + sum(prefix for prefix, _, _ in lengths)
    assert facts["tokens_shared"] == shared
    assert facts["tokens_unshared"] == unshared
    assert facts["tokens_unshared_over_shared"] == unshared / shared
    pairs = sorted(hh_pairs(12), key=lambda unit: unit.longest)
    batches = plan_batches(pairs, TINY.token_budget, flat=False)
    assert facts["tokens_padded_rows"] == sum(
        pack(batch, False, pad_id=0).input_ids.numel() for batch in batches
    )


def test_response_mode_counts_six_comparisons_per_prompt(monkeypatch):
    monkeypatch.setattr(timing, "time", clock(6.0, 3.0))  # comparisons run first
    result = response_mode(TINY, torch.float32)  # of 2 prompts
    assert result["comparison_unit"]["seconds_per_pair"] == [6 / 12]
    assert result["response_unit"]["seconds_per_pair"] == [3 / 12]
    assert result["response_over_comparison"] == 2


def test_contenders_run_in_turn_and_ratios_pair_neighbours():
    order: list[str] = []

    def contender(name):
        def run():
            order.append(name)
            return 2

        return run

    run_in_turn({name: contender(name) for name in "ab"}, repeats=3)
    assert order == list("ababab")
    speeds = {"slow": speed_of([2.0, 4.0, 9.0]), "fast": speed_of([1.0, 1.0, 3.0])}
    assert ratio(speeds, "slow", "fast") == 3.0
    assert speeds["slow"]["pairs_per_s"] == 0.25


def test_the_paper_compression_is_linear_and_keeps_single_entries(monkeypatch):
    monkeypatch.setattr(paper, "_FACTORS", QUICK)
    sketch = PaperSketch(1000, 64)
    single = torch.zeros(1000)
    single[17] = 3.0
    assert sketch(single).abs().sort().values[-2:].tolist() == [0.0, 3.0]
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        sketch(gradient + single), sketch(gradient) + sketch(single)
    )


STAGES = ("prepare", "sketch", "score")


@pytest.mark.slow
def test_the_gpu_check_runs_on_a_cpu_too(tmp_path):
    command = [sys.executable, "-W", "ignore", str(ROOT / "scripts" / "gpu_check.py")]
    options = ["--device", "cpu", "--shape", "tiny", "--check-shape", "tiny"]
    path = tmp_path / "gpu.json"
    subprocess.run([*command, *options, "--pairs", "6", "--json", path], check=True)
    results = json.loads(path.read_text())
    assert results["checks"]["sketch_same_bits_twice"]
    speed = results["speed"]
    assert speed["tokens"] == sum(sum(HH_LENGTHS[8 * i]) for i in range(6))
    assert speed["hours_per_100000_pairs"] * speed["pairs_per_s"] == pytest.approx(
        100_000 / 3600
    )
    assert sum(speed["share_of_time"].values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_the_benchmark_writes_speeds_and_ratios_that_follow_from_its_seconds(tmp_path):
    path = tmp_path / "gradients.json"
    options = ["--shape", "tiny", "--pairs", "18", "--repeats", "1"]
    given = ["benchmark", "gradients", *options, "--json", str(path)]
    quick = (
        "from inflib.benchmarks import paper\n"
        "from ray_jobs import cli\n"
        f"paper._FACTORS = {QUICK}\n"
        f"cli.Commands('inflib').main({given!r})"
    )
    command = [sys.executable, "-W", "ignore", "-c", quick]
    subprocess.run(command, check=True, cwd=ROOT)
    results = json.loads(path.read_text())
    for speeds in (results, results["bf16"]):
        loops = ("autograd_loop", "datainf_two_pass", "paper_loop")
        seconds = {}
        for name in ("ours", "training_step", *loops):
            (seconds[name],) = speeds[name]["seconds_per_pair"]
            assert speeds[name]["pairs_per_s"] == 1 / seconds[name]
        for name in loops:  # of speeds
            assert speeds[f"ours_over_{name}"] == seconds[name] / seconds["ours"]
        longer = seconds["ours"] / seconds["training_step"]
        assert speeds["ours_over_training_step"] == longer  # of times
        shares = speeds["sketch_share"], speeds["paper_sketch_share"]
        assert all(0 < share < 1 for share in shares)
        assert speeds["ours_over_paper_model"] == pytest.approx(
            seconds["paper_loop"]
            * (1 - shares[1])
            / (seconds["ours"] * (1 - shares[0]))
        )
    rates = results["orchestration"]
    (bare,), (one,), (two,) = (
        rates[name]["repeats"] for name in ("bare_loop", "one_worker", "two_workers")
    )
    assert rates["one_worker_over_bare_loop"] == one / bare
    assert rates["two_workers_over_one_worker"] == two / one


def test_the_benchmark_needs_a_file_to_write_to():
    command = [sys.executable, "-W", "ignore", "-m", "ray_jobs.benchmark", "gradients"]
    refused = subprocess.run(command, capture_output=True, cwd=ROOT, text=True)
    assert refused.returncode == 2
    assert refused.stderr == "error: Missing option '--json'.\n"


def test_no_benchmark_touches_torchs_global_generator(tmp_path):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, second = (reward_model("tiny", torch.float32) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    write_inputs(tmp_path / "inputs", 8, 8)
    gpu.sketch_kernels("cpu", size=1000, rows=2)
    gpu.matmul_rate("cpu", size=64)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_library_draws_from_generators_of_its_own():
    """But to train: transformers and TRL know no other seed than the global one."""
    drawing = r"torch\.(?:randn|rand|randint|randperm|normal|bernoulli|multinomial)\("
    for path in sorted((ROOT / "inflib").rglob("*.py")):
        text = path.read_text()
        for call in re.finditer(drawing, text):
            arguments = text[call.end() :].partition("\n\n")[0][:200]
            assert "generator=" in arguments, f"{path}: {call[0]}"
        if path.name not in ("training.py", "workload.py"):
            assert "torch.manual_seed" not in text, path


@pytest.mark.slow
def test_the_scale_benchmark_runs_all_stages_at_two_sizes(tmp_path):
    path = tmp_path / "scale.json"
    command = [sys.executable, "-W", "ignore", "-m", "ray_jobs.benchmark", "scale"]
    options = ["--pairs", "400", "--dtypes", "int8", "--json", path]
    subprocess.run([*command, *options], check=True, cwd=ROOT)
    small, large = json.loads(path.read_text())["runs"]
    assert (small["pairs"], large["pairs"]) == (40, 400)
    assert all(run["stages"][s]["bytes"] for run in (small, large) for s in STAGES)


@pytest.mark.slow
def test_the_training_benchmark_trains_both_on_the_same_labels(monkeypatch):
    monkeypatch.setattr(paper, "_FACTORS", QUICK)
    peers = {"peer": lambda: 18}
    results = measure(num_pairs=18, shape="tiny", repeats=2, peers=peers)
    for suffix in ("", "_recurring"):
        speeds = results[f"speeds{suffix}"]
        assert results[f"labels{suffix}"] == 18
        assert results[f"flat_over_trl{suffix}"] == ratio(speeds, "flat", "trl") > 0
        assert 0 <= results[f"max_loss_difference{suffix}"] < 1e-5
        assert results[f"mean_loss{suffix}"] > 0.1
    speeds = results["speeds"]
    assert set(speeds) == {"flat", "trl", "during", "paper", "ours", "peer"}
    for other in ("flat", "trl"):
        assert results[f"during_over_{other}"] == ratio(speeds, "during", other)
    seconds = {name: speeds[name]["seconds_per_pair"] for name in speeds}
    for name in ("paper", "ours", "peer"):
        ratios = [
            during / (trl + own)
            for during, trl, own in zip(
                seconds["during"], seconds["trl"], seconds[name], strict=True
            )
        ]
        assert results[f"audit_over_trl_and_{name}"] == statistics.median(ratios)


def test_labels_recur_in_chunks_of_a_prompt():
    workload = recurring_workload(4, "tiny")
    prompts = workload.table["prompt"].to_pylist()
    runs = [len(list(same)) for _, same in itertools.groupby(prompts)]
    assert len(prompts) == 24 and set(runs) <= {2, 4, 6, 8}
    sides = [workload.table[n].to_pylist() for n in ("chosen_ids", "rejected_ids")]
    assert len({tuple(ids) for side in sides for ids in side}) == 16
