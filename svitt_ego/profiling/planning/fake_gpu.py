"""A GPU that has a size but no contents, among peers that never answer.

Fake tensors know shape, dtype and device and hold nothing, so a training step runs on them
unchanged, DeepSpeed's engine included: what it would allocate is seen, nothing is computed.

The GPU is `cpu:0` and the host is `cpu`: two devices to PyTorch, which refuses to mix them as it
would on a machine with a GPU, and neither needs a driver. (The backward pass of fake tensors on
`cuda` itself asks for one.)
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.planning.fused_attention import planned_kernel
from svitt_ego.profiling.planning.same_work import same_work_once
from svitt_ego.training.accelerator import deepspeed, get_accelerator

# after accelerator.py, which must be the first to import DeepSpeed
from deepspeed.accelerator import set_accelerator  # isort: skip
from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator  # isort: skip
from deepspeed.runtime.zero import partitioned_param_coordinator as trace  # isort: skip

GPU = torch.device("cpu", 0)
HOST = torch.device("cpu")
AMPERE = (8, 6)
"""Compute capability, where PyTorch asks for it."""


class FakeGpuAccelerator(CPU_Accelerator):
    """`GPU` to DeepSpeed: another device than the host, with every precision, without streams.

    What streams change is when memory can be used again, not how much is: it belongs to the
    allocator's slack.
    """

    def device_name(self, device_index: int | None = None) -> str:
        return str(GPU)

    def current_device_name(self) -> str:
        return str(GPU)

    def device(self, device_index: int | None = None) -> torch.device:
        return GPU

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def is_fp16_supported(self) -> bool:
        return True

    def is_triton_supported(self) -> bool:
        return False

    def on_accelerator(self, tensor: Tensor) -> bool:
        return tensor.device == GPU


class FakeValues(TorchDispatchMode):
    """Answers for the few operations of a step that ask a tensor for its contents.

    Numbers are 1, flags are false (no overflow, so no step is skipped), a mask used as an index
    selects everything, and of any other mask `masked_share` is true.
    """

    def __init__(self, masked_share: float) -> None:
        super().__init__()
        self._masked_share = masked_share

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled, and torch's guard against it costs time in every operation."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 0
        if func is torch.ops.aten.nonzero.default:
            (mask,) = args
            found = round(self._masked_share * mask.numel())
            return mask.new_empty(found, mask.dim(), dtype=torch.int64)
        if func is torch.ops.aten.index.Tensor:
            tensor, indices = args
            args = (tensor, [_everywhere(index) for index in indices])
        return func(*args, **(kwargs or {}))


def _everywhere(index: Tensor | None) -> Tensor | None:
    if index is None or index.dtype != torch.bool:
        return index
    assert index.dim() == 1, "only rows are chosen by a mask"
    return torch.arange(len(index), device=index.device)


@contextmanager
def fake_machine(device: torch.device, world_size: int, masked_share: float) -> Iterator[None]:
    """Inside, new tensors are fake, and this process is rank 0 of `world_size` that are not there.

    Args:
        device: `GPU`, where kernels are chosen as on CUDA; or `HOST`, as on this CPU.
        masked_share: of the words of a masked text, those to predict.
    """
    before = get_accelerator()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # DeepSpeed asks fake partitions whether they are aligned
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        # asked in many operations, and DeepSpeed makes PyTorch load the driver's library to answer
        stack.enter_context(patch.object(torch.cuda, "is_available", lambda: False))
        if device == GPU:
            set_accelerator(FakeGpuAccelerator())
            stack.callback(set_accelerator, before)
            stack.enter_context(_kernels_of_cuda())
        stack.enter_context(patch.object(trace, "assert_ints_same_as_other_ranks", _peers_agree))
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world_size)
        stack.callback(_leave_process_group)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(FakeValues(masked_share))
        yield


def _peers_agree(numbers: list[int]) -> None:
    """At stage 3, on the order in which modules ask for their weights."""


def masked_share(recipe: Recipe) -> float:
    """Of a text's words, those that the recipe's masking is expected to choose."""
    length = recipe.data.max_text_tokens
    return recipe.objectives.mlm.mask_probability * (length - 2) / length  # [CLS], [SEP] never


def _leave_process_group() -> None:
    if deepspeed.comm.comm.cdb is None:
        dist.destroy_process_group()
    else:
        deepspeed.comm.destroy_process_group()
        deepspeed.comm.comm.cdb = None


@contextmanager
def _kernels_of_cuda() -> Iterator[None]:
    """Tensors of `GPU` say `is_cuda`, by which kernels are chosen; the one that PyTorch compiles
    is replaced by one that allocates the same, and what does the same is computed once."""
    is_cuda = property(lambda tensor: tensor.fake_device == GPU)
    # the package's attribute of this name is the function
    dispatch = import_module("svitt_ego.models.attention.attention")
    with (
        patch.object(FakeTensor, "is_cuda", is_cuda, create=True),
        patch.object(torch, "tensor", partial(_tensor_on_its_device, torch.tensor)),
        patch.object(torch.cuda, "get_device_capability", lambda device=None: AMPERE),
        patch.object(dispatch, "compiled_kernel", lambda: planned_kernel),
        same_work_once(),
    ):
        yield


def _tensor_on_its_device(
    build: Callable[..., Tensor], *args: Any, device: Any = None, **options: Any
) -> Tensor:
    """`torch.tensor` builds on the host and then finds that for `GPU` any CPU will do."""
    tensor = build(*args, **options)
    return tensor if device is None else tensor.to(device)
