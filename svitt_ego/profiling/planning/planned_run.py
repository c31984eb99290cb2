"""The training step of a run, DeepSpeed included, on fake tensors."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import repeat
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from svitt_ego.config.base import ConfigError
from svitt_ego.config.schema import Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.profiling.ledger import StepMemory
from svitt_ego.profiling.optimizer_states import make_states
from svitt_ego.profiling.planning.fake_gpu import GPU, HOST, fake_machine, masked_share
from svitt_ego.profiling.planning.same_work import times
from svitt_ego.profiling.tracker import TensorTracker
from svitt_ego.training.deepspeed_config import precision_of, zero_stage_of
from svitt_ego.training.engine import build_engine, memory_recorder
from svitt_ego.training.rehearsal import SPECIAL_TOKENS, random_batch
from svitt_ego.training.step import train_step
from svitt_ego.training.task import PretrainingTask

TORCH_TYPE = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class PlannedStep:
    """One step of one rank."""

    memory: StepMemory
    """Of the device."""
    host_bytes: int
    """Tensors that stay in the host's memory: what is offloaded."""
    flops: int
    """Of matrix products, recomputed ones included; those inside FlexAttention are not seen."""
    parameters: int
    """Weights of the model, all ranks' together."""


class PlannedRun:
    """A run's engine on fake tensors, ready to take steps of any micro-batch. Use it in a `with`:
    it owns the process group meanwhile.

    Args:
        config: the resolved DeepSpeed config.
        device: `GPU`, or `HOST` to plan a run on this machine's CPU.
    """

    def __init__(
        self, recipe: Recipe, config: dict[str, Any], world_size: int, device: torch.device = GPU
    ) -> None:
        self.recipe, self.config = recipe, config
        self.world_size, self.device = world_size, device
        self._host = TensorTracker(device=HOST)
        self._stack = ExitStack()
        self._steps = 0

    def __enter__(self) -> "PlannedRun":
        """
        Raises:
            ConfigError: PyTorch or DeepSpeed refuse recipe or config; one line.
        """
        with ExitStack() as stack, self._refusals():
            model = self._weightless_model()
            share = masked_share(self.recipe)
            stack.enter_context(fake_machine(self.device, self.world_size, share))
            with self._watched_host():
                self._build(model.to_empty(device=self.device))
            self._recorder = memory_recorder(self._engine, self._task.model, self.device)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def step(self, micro_batch: int) -> PlannedStep:
        """A step of so many anchors, after the one in which the optimiser makes its states and, at
        stage 3, DeepSpeed learns the order of the weights.

        Raises:
            ConfigError: PyTorch or DeepSpeed refuse the step; one line.
        """
        with self._refusals():
            if not self._steps and zero_stage_of(self.config) == 3:
                with self._watched_host():
                    self._take(micro_batch)
            with FlopCount() as counter:
                self._take(micro_batch)
        memory = self._recorder.memory
        assert memory is not None
        return PlannedStep(memory, self._host.live_bytes, counter.flops, self._parameters)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        except Exception as error:  # whatever PyTorch and DeepSpeed raise
            first, *_ = str(error).strip().splitlines() or [""]
            said = f"{self.recipe.name} cannot be planned with this DeepSpeed config: "
            raise ConfigError(f"{said}{type(error).__name__}: {first}") from error

    def _watched_host(self) -> AbstractContextManager[Any]:
        """Within it tensors that stay in the host's memory are counted."""
        return self._host if self.device != HOST else nullcontext()

    def _weightless_model(self) -> SViTTEgo:
        with torch.device("meta"):
            model = SViTTEgo(self.recipe.model, self.recipe.training.recompute)
        return model.to(TORCH_TYPE[precision_of(self.config)])

    def _build(self, model: SViTTEgo) -> None:
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        over_step = self.recipe.training.contrastive_batch == "step"
        self._task = PretrainingTask(model, self.recipe.objectives, SPECIAL_TOKENS, over_step)
        # DeepSpeed casts and moves the module, which fake parameters refuse; it is there already
        self._task._apply = lambda function, recurse=True: self._task
        self._engine = build_engine(self._task, self.recipe, self.config, steps_per_epoch=1000)
        make_states(getattr(self._engine.optimizer, "optimizer", self._engine.optimizer))

    def _take(self, micro_batch: int) -> None:
        self._steps += 1
        training = self.recipe.training
        train_step(
            self._engine,
            self._batches(micro_batch),
            training.gradient_accumulation_steps,
            self.recipe.seed,
            self._steps,
            self._recorder,
            self.device,
        )

    def _batches(self, micro_batch: int) -> Iterator[Any]:
        training = self.recipe.training.model_copy(update={"micro_batch_size": micro_batch})
        return repeat(random_batch(self.recipe.model_copy(update={"training": training}), 0))


class FlopCount(TorchDispatchMode):
    """Operations of matrix products. PyTorch's own `FlopCounterMode` also watches modules, by hooks
    that hold on to recomputed activations."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As `TensorTracker`'s."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is torch.ops.aten.baddbmm_.default:  # not in the registry
            batch, rows, inner = args[1].shape
            self.flops += times() * 2 * batch * rows * inner * args[2].shape[2]
        elif func._overloadpacket in flop_registry:
            count = flop_registry[func._overloadpacket]
            self.flops += times() * count(*args, **kwargs, out_val=result)
        return result
