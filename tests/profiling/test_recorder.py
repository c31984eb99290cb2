import json
from pathlib import Path

import pytest
import torch
from torch import nn

from svitt_ego.config import ConfigError
from svitt_ego.profiling.recorder import (
    AllocatorRecorder,
    MemoryRecorder,
    TrackingRecorder,
    high_water,
)

CPU = torch.device("cpu")


def run_step(recorder: MemoryRecorder, model: nn.Module) -> float:
    x = torch.ones(16, 8)
    with recorder.step():
        recorder.mark("inputs", [x])
        with recorder.phase("forward"):
            loss = model(x).sum()
        with recorder.phase("backward"):
            loss.backward()
        with recorder.phase("optimizer"):
            model.zero_grad()
    return loss.item()


def test_the_base_changes_and_records_nothing():
    model = nn.Linear(8, 8)
    recorder = MemoryRecorder()
    recorder.register("parameters", lambda: pytest.fail("nobody should ask"))
    recorder.watch(model)
    assert run_step(recorder, model) == run_step(MemoryRecorder.for_device(CPU), model)
    assert recorder.last == {}
    assert not model.weight._post_accumulate_grad_hooks


def test_record_of_a_cpu_step():
    model = nn.Linear(8, 8)
    recorder = MemoryRecorder.for_device(CPU)
    recorder.register("parameters", model.parameters)
    recorder.watch(model)
    run_step(recorder, model)
    record = json.loads(json.dumps(recorder.last))
    assert record["counter"] == "tracked tensors"
    assert record["peak_bytes"] == sum(record["peak_bytes_by_category"].values())
    assert record["peak_bytes_by_category"]["parameters"] == 4 * (64 + 8)
    assert record["peak_bytes_by_category"]["inputs"] == 4 * 16 * 8
    assert list(record["phases"]) == ["forward", "backward", "optimizer"]
    assert record["peak_bytes"] == max(phase["peak_bytes"] for phase in record["phases"].values())
    assert record["rss_high_water_bytes"] > 50 * 2**20


def test_only_some_steps_are_tracked_and_those_as_if_all_were():
    models = [nn.Linear(8, 8) for _ in range(2)]
    recorders = [MemoryRecorder.for_device(CPU, track_every=each) for each in (1, 4)]
    found: list[list[dict]] = [[], []]
    for recorder, model in zip(recorders, models, strict=True):
        recorder.register("parameters", model.parameters)
        recorder.watch(model)
    for _ in range(9):
        for recorder, model, records in zip(recorders, models, found, strict=True):
            run_step(recorder, model)
            records.append(recorder.last)
    every, some = found
    tracked = [step for step in range(9) if "peak_bytes" in some[step]]
    assert tracked == [0, 1, 3, 7]
    for step in tracked:
        for key in ("peak_bytes", "peak_bytes_by_category", "phases"):
            assert some[step][key] == every[step][key], (step, key)
    assert set(some[2]) == {"counter", "rss_high_water_bytes"}


def test_a_failed_step_keeps_the_last_record():
    recorder = TrackingRecorder()
    with recorder.step():
        kept = torch.zeros(10)
    before = recorder.last
    with pytest.raises(KeyError), recorder.step():
        raise KeyError
    assert recorder.last is before and before["peak_bytes"] == kept.nbytes


class FakeAllocator:
    """`torch.cuda`'s counters, moved by hand."""

    def __init__(self) -> None:
        self.allocated = self.peak = 0

    def allocate(self, size_bytes: int) -> None:
        self.allocated += size_bytes
        self.peak = max(self.peak, self.allocated)

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        assert device == CPU
        self.peak = self.allocated

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peak

    def max_memory_reserved(self, device: torch.device) -> int:
        return 2 * self.peak

    def memory_stats(self, device: torch.device) -> dict[str, int]:
        return {"num_alloc_retries": 3, "num_ooms": 1}


def take(recorder: MemoryRecorder, allocator: FakeAllocator) -> None:
    with recorder.step():
        for name, size_bytes in {"forward": 700, "backward": 900}.items():
            with recorder.phase(name):
                allocator.allocate(size_bytes)
                allocator.allocate(-size_bytes)
        allocator.allocate(5000)  # between phases
        allocator.allocate(-5000)
        with recorder.phase("forward"):
            allocator.allocate(600)
            allocator.allocate(-600)


def test_record_of_a_cuda_step():
    allocator, model = FakeAllocator(), nn.Linear(8, 8)
    recorder = AllocatorRecorder(CPU, allocator, explain_every=2)
    # Tied weights and views count once; gradients are not resident.
    recorder.register("parameters", lambda: [*model.parameters(), model.weight.t()])
    asked = []
    recorder.register("gradients", lambda: asked.append(1) or [])
    allocator.allocate(50_000)
    allocator.allocate(-49_000)  # a peak before the step is not the step's
    for number in (1, 2, 3):
        asked.clear()
        take(recorder, allocator)
        last = recorder.last
        assert last.pop("rss_high_water_bytes", 0) >= 0
        explained = last.pop("explained", False)
        assert explained == (number == 2) == bool(last.pop("peak_bytes_by_module", {}))
        assert bool(asked) == explained
        for phase in last["phases"].values():
            split = phase.pop("peak_bytes_by_category", None)
            assert (split is not None) == explained
            assert split is None or sum(split.values()) == phase["peak_bytes"]
        assert last == {
            "counter": "cuda allocator",
            "peak_bytes": 6000,
            "peak_bytes_by_category": {"parameters": 288, "unattributed": 6000 - 288},
            "phases": {"forward": {"peak_bytes": 1700}, "backward": {"peak_bytes": 1900}},
            "reserved_bytes": 12000,
            "alloc_retries": 3,
            "ooms": 1,
        }


def layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))


def test_an_explained_cuda_step_says_what_a_tracked_one_does():
    allocator, own, other = FakeAllocator(), layers(), layers()
    recorder, tracking = AllocatorRecorder(CPU, allocator), TrackingRecorder(device=CPU)
    for each, model in ((recorder, own), (tracking, other)):
        each.register("parameters", model.parameters)
        each.watch(model)
    allocator.allocate(10**6)
    for number in range(1, 5):
        assert run_step(recorder, own) == run_step(tracking, other)
        assert recorder.last.get("explained", False) == (number == 2)
    split = recorder.last["peak_bytes_by_category"]
    assert split.keys() == {"parameters", "unattributed"}

    recorder = AllocatorRecorder(CPU, allocator, explain_every=1)
    recorder.register("parameters", own.parameters)
    recorder.watch(own)
    for _ in range(2):
        run_step(recorder, own)
    split = recorder.last["peak_bytes_by_category"]
    assert split.pop("unattributed") == 10**6 - sum(split.values())
    assert split == tracking.last["peak_bytes_by_category"]
    assert recorder.last["peak_bytes_by_module"] == tracking.memory.modules


def test_only_tensors_of_the_chosen_device_are_tracked():
    recorder = TrackingRecorder(device=torch.device("meta"))
    elsewhere = torch.zeros(500)
    with recorder.step(), recorder.phase("forward"):
        recorder.mark("inputs", [elsewhere])
        kept = elsewhere + 1, torch.zeros(100, device="meta")
    assert recorder.last["peak_bytes_by_category"] == {"activations": kept[1].nbytes}


def test_compiled_kernels_stay_compiled_in_a_tracked_step():
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(lambda x: (2 * x).relu().sum(), backend=backend)
    with TrackingRecorder().step():
        compiled(torch.ones(10))
    assert len(graphs) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_explained_step_on_a_gpu():
    device = torch.device("cuda", torch.cuda.current_device())
    model = layers().to(device)
    recorder = MemoryRecorder.for_device(device)
    recorder.register("parameters", model.parameters)
    recorder.watch(model)
    for _ in range(2):
        with recorder.step():
            with recorder.phase("forward"):
                loss = model(torch.ones(4096, 8, device=device)).sum()
            with recorder.phase("backward"):
                loss.backward()
            model.zero_grad()
    split = recorder.last["peak_bytes_by_category"]
    assert recorder.last["explained"] and sum(split.values()) == recorder.last["peak_bytes"]
    assert split["activations"] >= 4 * 4096 * 32 and split["unattributed"] >= 0
    assert recorder.last["peak_bytes_by_module"]["1"]["activations"] > 0


def test_cuda_devices_get_the_allocators_counters():
    assert isinstance(MemoryRecorder.for_device(torch.device("cuda", 0)), AllocatorRecorder)


def test_high_water_mark(tmp_path: Path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  9 kB\nVmHWM:\t  1234 kB\nVmRSS:\t 1000 kB\n")
    assert high_water(status) == {"rss_high_water_bytes": 1234 * 1024}
    assert high_water(tmp_path / "missing") == {}


class History:
    """`torch.cuda.memory`, as far as snapshots go."""

    def __init__(self) -> None:
        self.entries, self.written = 0, []

    def _record_memory_history(self, max_entries: int) -> None:
        self.entries = max_entries

    def _dump_snapshot(self, path: str) -> None:
        self.written.append(path)


def test_running_out_of_memory_says_what_to_change_and_leaves_the_history(tmp_path: Path):
    allocator = FakeAllocator()
    allocator.memory = History()
    allocator.memory_allocated = lambda device: 3 * 2**30
    recorder = AllocatorRecorder(CPU, allocator, tmp_path / "memory-rank0.pickle")
    assert allocator.memory.entries > 0
    with (
        pytest.raises(ConfigError, match=r"phase backward with 3.00 GiB.*micro_batch_size"),
        recorder.step(),
    ):
        with recorder.phase("forward"):
            pass
        with recorder.phase("backward"):
            raise torch.OutOfMemoryError
    assert allocator.memory.written == [str(tmp_path / "memory-rank0.pickle")]
    assert recorder.last == {}


def test_modules_of_the_peak():
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Sequential(nn.Linear(32, 4)))
    recorder = MemoryRecorder.for_device(CPU)
    recorder.register("parameters", model.parameters)
    recorder.watch(model)
    run_step(recorder, model)
    modules = recorder.last["peak_bytes_by_module"]
    # ReLU's output is kept by itself and as the next layer's input: one storage, made by ReLU
    assert modules["1"]["activations"] == 4 * 16 * 32
    whole = {}
    for split in modules.values():
        for category, size in split.items():
            whole[category] = whole.get(category, 0) + size
    assert whole == recorder.last["peak_bytes_by_category"]
    run_step(recorder, model)
    assert "peak_bytes_by_module" not in recorder.last  # no higher than before
