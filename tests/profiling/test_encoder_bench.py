"""The encoder benchmark in small: rows, shared weights, predictions, files."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from svitt_ego.config import load_recipe
from svitt_ego.config.schema import Recipe
from svitt_ego.cpu_features import cpu_computes_bf16
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.encoder_bench import Plan, bench
from svitt_ego.profiling.encoder_bench.measure import without_oversized
from svitt_ego.profiling.encoder_bench.memory import predicted_peaks, tracked_peaks
from svitt_ego.profiling.encoder_bench.results import exponents, growth
from svitt_ego.profiling.encoder_bench.shared_steps import shared_steps
from svitt_ego.profiling.encoder_bench.variants import batch_for, bench_variants
from svitt_ego.training.rehearsal import random_batch

TINY = (
    "model.video.layers=1",
    "model.video.width=32",
    "model.video.mlp_width=64",
    "model.video.image_size=64",
    "model.video.node_sparsity.layers=[0]",
    "model.video.edge_sparsity.block_size=4",
    "model.text.layers=1",
    "model.fusion.layers=1",
    "data.frames=2",
    "data.max_text_tokens=8",
)
KEYS = [
    "variant",
    "frames",
    "batch",
    "dtype",
    "step_s_median",
    "samples_per_s",
    "flops_needed",
    "matmul_peak_flops_per_s",
    "mfu",
    "activation_peak_bytes",
    "total_peak_bytes",
]


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("demo", TINY)


def test_ten_variants(recipe: Recipe):
    variants = bench_variants(recipe, 4, 3)
    plain = [
        "dense",
        "dense_efficient",
        "dense_efficient+drop",
        "sparse_1_3_4",
        "sparse_1_5_4",
    ]
    assert list(variants) == plain + [f"{name}+recompute" for name in plain]
    for name, own in variants.items():
        recomputed = name.endswith("+recompute")
        assert own.training.recompute.what == ("layers" if recomputed else "none")
        assert own.data.frames == own.model.video.max_frames == 4
        assert own.training.micro_batch_size == 3
        assert not own.objectives.contrastive.scene_negatives
        edge = own.model.video.edge_sparsity
        assert (edge is not None) == name.startswith("sparse")
        Recipe.model_validate(own.model_dump())
    edges = [variants[name].model.video.edge_sparsity for name in plain[3:]]
    assert [edge.random_blocks for edge in edges] == [3, 5]


def test_batches_shrink_with_frames():
    batches = [batch_for(frames, 4, at_frames=4) for frames in (2, 4, 8, 16, 64)]
    assert batches == [8, 4, 2, 1, 1]


def test_steps_share_weights_and_states(recipe: Recipe):
    variants = bench_variants(recipe, 2, 3)
    chosen = [variants["dense"], variants["sparse_1_3_4+recompute"]]
    owner = SViTTEgo(chosen[0].model)
    first, second = shared_steps(owner, chosen, random_batch(chosen[0], 0))
    of_both = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(one is other for one, other in of_both)
    assert first.model.training and first.optimizer is second.optimizer
    assert len(first.optimizer.state) == len(list(owner.parameters()))
    before = owner.video_projection.weight.detach().clone()
    loss = second.loss(1)
    loss.backward()
    assert loss.isfinite()
    second.optimizer.step()
    assert not torch.equal(before, owner.video_projection.weight)


def test_predicted_memory_is_the_tracked_one(recipe: Recipe):
    own = bench_variants(recipe, 2, 2)["sparse_1_3_4+recompute"]
    batch = random_batch(own, own.seed)
    (step,) = shared_steps(SViTTEgo(own.model), [own], batch)
    predicted, tracked = predicted_peaks(own, torch.float32), tracked_peaks(step, 1)
    # which words are masked, and so how many, is drawn in a real step and expected in a plan
    assert predicted.activation_bytes == pytest.approx(tracked.activation_bytes, rel=0.03)
    assert predicted.total_bytes == pytest.approx(tracked.total_bytes, rel=0.01)


def test_oversized_variants_are_left_out_but_predicted(recipe: Recipe):
    variants = bench_variants(recipe, 2, 3)
    chosen = {name: variants[name] for name in ("dense", "sparse_1_3_4")}
    fitting, oversized = without_oversized(chosen, "fp32", 1000, lambda _: None)
    assert list(fitting) == ["sparse_1_3_4"]
    assert [row["variant"] for row in oversized] == ["dense"]
    assert oversized[0]["total_peak_bytes"] > 1000


def test_bench_leaves_rows_and_a_picture(recipe: Recipe, tmp_path: Path):
    names = ("sparse_1_3_4", "sparse_1_3_4+recompute")
    plan = Plan(
        recipe=recipe,
        frames=(2, 4),
        batch=4,
        rounds=1,
        precision="fp32",
        predicted_batch=1,
        only=names,
        square=128,
    )
    text = bench(plan, tmp_path)
    rows = json.loads((tmp_path / "encoders.json").read_text())
    assert [(row["variant"], row["frames"], row["batch"]) for row in rows] == [
        (name, frames, batch) for frames, batch in ((2, 4), (4, 2)) for name in names
    ]
    for row in rows:
        assert list(row) == KEYS and row["dtype"] == "fp32"
        assert row["samples_per_s"] == pytest.approx(row["batch"] / row["step_s_median"])
        done_per_s = row["flops_needed"] / row["step_s_median"]
        assert row["mfu"] == pytest.approx(done_per_s / row["matmul_peak_flops_per_s"])
        assert row["activation_peak_bytes"] < row["total_peak_bytes"]
    stored, recomputed = rows[:2]
    assert stored["flops_needed"] == recomputed["flops_needed"]
    assert stored["activation_peak_bytes"] > recomputed["activation_peak_bytes"]
    more = json.loads((tmp_path / "encoders_memory.json").read_text())
    assert [row["variant"] for row in more["predicted"]] == list(names)
    assert {row["dtype"] for row in more["predicted"]} == {"bf16"}
    assert set(more["exponents"]) == set(names)
    assert (tmp_path / "encoders.png").read_bytes().startswith(b"\x89PNG")
    assert len(text.splitlines()) == 1 + len(rows) + len(more["predicted"])


def row(name: str, frames: int, batch: int, step_s: float, activation_bytes: int) -> dict:
    return {
        "variant": name,
        "frames": frames,
        "batch": batch,
        "step_s_median": step_s,
        "activation_peak_bytes": activation_bytes,
    }


def test_exponents_are_those_of_one_clip():
    rows = [row("square", n, 64 // n, 0.1 * n**2 * (64 // n), 10**6 * 64) for n in (4, 8, 16)]
    rows.append(row("single", 4, 1, 1.0, 10))
    assert exponents(rows) == {"square": pytest.approx({"time": 2.0, "memory": 1.0})}
    labels = [text.get_text() for text in growth(rows).axes[0].get_legend().get_texts()]
    assert labels == ["single", "square, frames^2.00"] or labels == [
        "square, frames^2.00",
        "single",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2\n", False),
        ("Features\t: fp asimd bf16\n", True),
    ],
)
def test_bf16_where_the_cpu_has_it(tmp_path: Path, text: str, expected: bool):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_computes_bf16(tmp_path / "cpuinfo") is expected
    assert not cpu_computes_bf16(tmp_path / "absent")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "no-such"], "no-such"),
        (["--recipe", "demo", "--variants", "spare"], "no variant 'spare'; there are: dense, "),
        (["--frames", "0"], "must be a whole number above 0"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch, capsys, arguments, message):
    script = Path(__file__).parents[2] / "launch" / "bench_encoders.py"
    output = ["--output-dir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments, *output])
    with pytest.raises(SystemExit) as ending:
        runpy.run_path(str(script), run_name="__main__")
    assert ending.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
