"""One rank that takes training steps through DeepSpeed; run by test_steps_through_deepspeed.py.

Usage: deepspeed_ranks.py CASES.json RESULT, with RANK, WORLD_SIZE and MASTER_PORT set. All cases
see the same clips: GLOBAL_ANCHORS in a step, however they are split.
"""

import json
import sys
from dataclasses import fields, replace
from pathlib import Path

import torch

from svitt_ego.config import load_recipe
from svitt_ego.config.load import recipe_from_tree
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.recorder import MemoryRecorder
from svitt_ego.training.accelerator import leave_distributed, start_distributed
from svitt_ego.training.agreement import to_rank_0
from svitt_ego.training.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from svitt_ego.training.deepspeed_config import Machine, resolve_deepspeed_config
from svitt_ego.training.engine import build_engine
from svitt_ego.training.manifest import Manifest
from svitt_ego.training.rehearsal import SPECIAL_TOKENS, random_batch
from svitt_ego.training.run_directory import RunDirectory
from svitt_ego.training.sharded_weights import whole_weights
from svitt_ego.training.skipped_steps import SkippedSteps, TooManySkippedSteps
from svitt_ego.training.step import step_record, train_step
from svitt_ego.training.task import PretrainingTask

GLOBAL_ANCHORS = 8

SMALL = {
    "layers": 2,
    "width": 32,
    "heads": 2,
    "mlp_width": 64,
    "image_size": 32,
    "patch_size": 8,
    "edge_sparsity": {"local_blocks": 1, "random_blocks": 1, "block_size": 16},
    "node_sparsity": {"layers": [0], "keep_rate": 0.7},
}


def recipe_of(case):
    tree = load_recipe("demo").model_dump()
    tree["model"]["video"] |= SMALL
    tree["model"]["text"] |= {"layers": 1, "width": 32, "heads": 2, "mlp_width": 64}
    tree["model"]["text"] |= {"vocabulary_size": 97}
    tree["model"]["fusion"] |= {"layers": 1, "node_sparsity": None}
    tree["data"]["max_text_tokens"] = 9
    tree["objectives"]["vtm"] |= {"weight": case.get("vtm", 0.0)}
    tree["training"] |= {
        "micro_batch_size": case["micro"],
        "gradient_accumulation_steps": case.get("accumulation", 1),
        "contrastive_batch": case.get("contrastive_batch", "micro_batch"),
    }
    return recipe_from_tree(tree, {}, "case")


def part_of(whole, indices):
    """These anchors with their negatives."""
    rows = torch.tensor([*indices, *(GLOBAL_ANCHORS + i for i in indices)])
    changed = {
        f.name: getattr(whole, f.name)[rows]
        for f in fields(whole)
        if isinstance(getattr(whole, f.name), torch.Tensor)
    }
    return replace(whole, **changed, anchors=len(indices))


def batches_of(recipe, rank, world_size, steps):
    big = recipe_from_tree(
        recipe.model_dump()
        | {"training": recipe.training.model_dump() | {"micro_batch_size": GLOBAL_ANCHORS}},
        {},
        "big",
    )
    micro = recipe.training.micro_batch_size
    for step in range(steps):
        whole = random_batch(big, seed=step)
        for start in range(0, GLOBAL_ANCHORS, micro * world_size):
            first = start + rank * micro
            yield part_of(whole, range(first, first + micro))


def poison(task, case):
    """Make the loss, or one gradient of rank 0, not finite in the steps that the case names."""
    forward = task.forward
    state = {"step": 0}

    def poisoned(batch, draws, *rest, **named):
        state["step"] = draws.step
        losses = forward(batch, draws, *rest, **named)
        if draws.step in case.get("bad_loss", ()) and draws.rank == 0:
            return losses._replace(total=losses.total.detach() * float("inf") + losses.total)
        return losses

    def bad_gradient(gradient):
        bad = state["step"] in case.get("bad_gradient", ())
        return gradient * float("nan") if bad else gradient

    task.forward = poisoned
    if case.get("bad_gradient"):
        task.model.video_projection.weight.register_hook(bad_gradient)


def run(case, folder, device, rank, world_size):
    recipe = recipe_of(case)
    config_file = folder / f"{case['name']}.{rank}.json"
    config_file.write_text(json.dumps(case["deepspeed"]))
    config = resolve_deepspeed_config(
        str(config_file), recipe, world_size, folder, Machine("cpu", fp16=True, bf16=True)
    )

    def new_engine():
        torch.manual_seed(recipe.seed)
        model = SViTTEgo(recipe.model)
        over_step = recipe.training.contrastive_batch == "step"
        task = PretrainingTask(model, recipe.objectives, SPECIAL_TOKENS, over_step)
        poison(task, case)
        return build_engine(task, recipe, config, steps_per_epoch=50), model

    def take(engine, step, batches):
        return train_step(
            engine,
            batches,
            recipe.training.gradient_accumulation_steps,
            recipe.seed,
            step,
            MemoryRecorder(),
            device,
        )

    engine, model = new_engine()
    steps = case.get("steps", 3)
    batches = batches_of(recipe, rank, world_size, steps)
    skipped = SkippedSteps(folder / f"{case['name']}.skipped", case.get("allowed", 99))
    records, weights, stopped = [], [], None
    for step in range(1, steps + 1):
        own = take(engine, step, batches)
        of_ranks = to_rank_0(own)
        if of_ranks:
            records.append(step_record(engine, of_ranks, step, 50))
        whole = whole_weights(model)
        if whole:
            weights.append(whole["video_projection.weight"].float().flatten()[:50].tolist())
        try:
            skipped.note(step, own, of_ranks, None)
        except TooManySkippedSteps as error:
            stopped = str(error)
            break
    found = {"records": records, "weights": weights, "stopped": stopped}
    if case.get("resume"):
        directory = RunDirectory(folder / f"run {case['name']}")
        about = Manifest(steps, world_size, 0, False, "any", 1, 1, "", {}, {}, {})
        save_checkpoint(engine, model, directory, about, recipe.training)
        resumed, _ = new_engine()
        tag, _ = find_checkpoint(directory)
        load_checkpoint(resumed, directory.checkpoints / tag)
        for name, one in (("went on", engine), ("resumed", resumed)):
            batches = batches_of(recipe, rank, world_size, 2)
            taken = [take(one, steps + 1, batches), take(one, steps + 2, batches)]
            found[name] = [step.losses["total"] for step in taken]
    return found


def main():
    cases, result = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    device = start_distributed()
    torch.set_num_threads(1)  # for operations so small, more would only wait for each other
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    import deepspeed.accelerator
    from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator

    class ClaimsFp16(CPU_Accelerator):
        def is_fp16_supported(self):
            return True

    deepspeed.accelerator.set_accelerator(ClaimsFp16())
    found = {case["name"]: run(case, result.parent, device, rank, world_size) for case in cases}
    if rank == 0:
        result.write_text(json.dumps(found))
    leave_distributed()


if __name__ == "__main__":
    main()
