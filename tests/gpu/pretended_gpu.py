"""A GPU that is pretended: the real programs run as on CUDA, on a machine without, with real values.

Every tensor is the CPU's; what is pretended is where it lies. A storage that was made on the "GPU", or out of what lies
there, is marked; `tensor.device` says so, operations on tensors of both devices raise as CUDA's do, and what would make the
host wait for the GPU is counted with the place in the code that asked for it. Kernels are the CPU's, so that neither speed
nor rounding is CUDA's.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # before torch.cuda is patched: it makes a list of its functions
from fairseq.trainer import Trainer
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
PACKAGES = ("fairseq_latent", "fairseq", "transformers")  # whose code may ask for a synchronisation
aten = torch.ops.aten

# outputs have as many elements as the values say, so that the host must read how many
OF_UNKNOWN_SIZE = {
    aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.unique_dim_consecutive,
    aten.bincount, aten._unique,
}  # fmt: skip
READ = {aten._local_scalar_dense, aten.equal}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
COPIES = {aten.copy_, aten._to_copy, aten.copy}
CPU_BESIDE_GPU = {aten._pack_padded_sequence}  # lengths are the host's
ON_CPU = {aten._pack_padded_sequence: 1}  # the output that is the host's, too
FROM_NUMBERS = (torch.tensor, torch.as_tensor, Tensor.new_tensor)
PLACES = {
    Tensor.device.__get__: lambda on_gpu, real: GPU if on_gpu else real,
    Tensor.is_cuda.__get__: lambda on_gpu, real: on_gpu,
    Tensor.is_cpu.__get__: lambda on_gpu, real: not on_gpu,
}


class MixedDevices(RuntimeError):
    """What CUDA raises: `Expected all tensors to be on the same device`."""


class PretendedGPU:
    """Which storages lie on the GPU, and what made the host wait: Counter of "kind at file:function".

    updates: one Counter for each `Trainer.train_step`.
    """

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()
        self.updates: list[Counter[str]] = []
        self.mixed: list[str] = []
        self._marked: dict[int, StorageWeakRef] = {}  # a weak reference keeps the address from being used again

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies on the GPU."""
        return tensor.untyped_storage()._cdata in self._marked

    def put(self, tensor: Tensor, on_gpu: bool) -> None:
        """Note where a tensor lies."""
        storage = tensor.untyped_storage()
        if not on_gpu:
            self._marked.pop(storage._cdata, None)
        elif storage._cdata not in self._marked:
            if len(self._marked) > 20_000:
                self._marked = {place: kept for place, kept in self._marked.items() if not kept.expired()}
            self._marked[storage._cdata] = StorageWeakRef(storage)

    def wait(self, kind: str) -> None:
        """Count what the host waits for."""
        self.waits[f"{kind} at {_caller(sys._getframe(1))}"] += 1

    def refuse(self, what: str) -> None:
        """Raise for tensors of two devices; `mixed` has it too, where somebody catches RuntimeErrors."""
        self.mixed.append(f"{what} at {_caller(sys._getframe(1))}")
        raise MixedDevices(f"Expected all tensors to be on the same device: {self.mixed[-1]}")


def _caller(frame: FrameType | None) -> str:
    while frame is not None:
        path = frame.f_code.co_filename
        for package in PACKAGES:
            if f"/{package}/" in path and "/tests/" not in path:
                return f"{package}/{path.rpartition(f'/{package}/')[2]}:{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "elsewhere"


def _is_gpu(device: Any) -> bool | None:
    """None where no device is named."""
    if device is None:
        return None
    return isinstance(device, int) or torch.device(device).type == "cuda"


class _Calls(TorchFunctionMode):
    """What Python asks of tensors: where they lie, and that they be made or moved somewhere."""

    def __init__(self, gpu: PretendedGPU):
        super().__init__()
        self.gpu = gpu
        self.wanted: bool | None = None  # by a device that was named, in the call that runs now
        self.beside: bool | None = None  # whether an argument of that call lies on the GPU; None: no call runs

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        gpu = self.gpu
        if func is torch._C._nn._parse_to:  # the arguments of Module.to, which come back as Tensor.to
            device, *rest = func(*args, **kwargs)
            like = [word for word in args if isinstance(word, Tensor)]
            return GPU if like and gpu.holds(like[0]) else device, *rest
        if func in PLACES:
            return PLACES[func](gpu.holds(args[0]), func(*args))
        if func in (Tensor.cuda, Tensor.cpu, Tensor.to, Tensor.type_as):
            return self._moved(func, *args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        beside = any(map(gpu.holds, given))
        if func in (Tensor.numpy, Tensor.__array__) and beside:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        if func is Tensor.tolist and beside:
            gpu.wait("tolist")
        if func in (Tensor.pin_memory, Tensor.is_pinned):
            return args[0] if func is Tensor.pin_memory else False
        wanted = _is_gpu(kwargs.get("device"))
        if wanted:
            kwargs["device"] = "cpu"
        if func in FROM_NUMBERS:
            wanted = (func is Tensor.new_tensor and beside) if wanted is None else wanted
            if wanted and not (func is torch.as_tensor and beside):
                gpu.wait("copy of a number to the GPU")
        if func is torch._shape_as_tensor:
            wanted = False  # sizes are the host's
        made = self._run(func, args, kwargs, wanted, beside)
        known = {id(tensor) for tensor in given}
        if wanted is not None or func is Tensor.__deepcopy__:
            for leaf in tree_leaves(made):
                if isinstance(leaf, Tensor) and id(leaf) not in known:
                    gpu.put(leaf, beside if wanted is None else wanted)
        return made

    def _run(self, func, args, kwargs, wanted, beside):
        before = self.wanted, self.beside
        self.wanted, self.beside = wanted, beside
        try:
            return func(*args, **kwargs)
        finally:
            self.wanted, self.beside = before

    def _moved(self, func, tensor: Tensor, *words, **kwargs):
        """Tensor.to, .cuda, .cpu and .type_as."""
        here = self.gpu.holds(tensor)
        there, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        goal = {Tensor.cuda: True, Tensor.cpu: False}.get(func, _is_gpu(there))
        asynchronous = kwargs.pop("non_blocking", False)
        for word in (*words, *([kwargs.pop("other")] if "other" in kwargs else [])):
            if isinstance(word, Tensor):
                goal, dtype = self.gpu.holds(word), word.dtype
            elif isinstance(word, torch.dtype):
                dtype = word
            elif isinstance(word, bool):
                asynchronous = asynchronous or word
            elif func is Tensor.to and isinstance(word, str | torch.device | int):
                goal = _is_gpu(word)
        goal = here if goal is None else goal
        if goal == here:
            return self._run(Tensor.to, (tensor, tensor.dtype if dtype is None else dtype), kwargs, None, here)
        if not (goal and asynchronous):
            self.gpu.wait("copy to the GPU" if goal else "copy to the CPU")
        kwargs["copy"] = True
        made = self._run(Tensor.to, (tensor, tensor.dtype if dtype is None else dtype), kwargs, goal, here)
        self.gpu.put(made, goal)
        return made


class _Operations(TorchDispatchMode):
    """What reaches the kernels, in backward passes too."""

    def __init__(self, gpu: PretendedGPU, calls: _Calls):
        super().__init__()
        self.gpu, self.calls = gpu, calls

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        lie = [self.gpu.holds(tensor) for tensor in given]
        kind = func.overloadpacket
        if any(lie):
            self._check(kind, func, args, given, lie)
        before = {tensor.untyped_storage()._cdata for tensor in given}
        made = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        for place, leaf in enumerate(outputs):
            if leaf.untyped_storage()._cdata not in before:
                self.gpu.put(leaf, self._goal(lie) and place != ON_CPU.get(kind))
        return made

    def _goal(self, lie: list[bool]) -> bool:
        """Where an operation's new tensors lie."""
        if self.calls.wanted is not None:
            return self.calls.wanted
        if lie:
            return any(lie)
        if self.calls.beside is None:  # no call of Python's: what a backward pass fills up
            return torch._C._current_graph_task_id() != -1
        return self.calls.beside  # made within an operation of torch's own

    def _check(self, kind, func, args, given: list[Tensor], lie: list[bool]) -> None:
        gpu, on_cpu = self.gpu, [tensor for tensor, here in zip(given, lie, strict=True) if not here]
        if kind in COPIES:
            if on_cpu and self.calls.wanted is None:
                gpu.wait("copy between devices")
            return
        if kind in INDEXED:
            _check_indices(gpu, kind, args)
            return
        if kind not in CPU_BESIDE_GPU and any(tensor.dim() for tensor in on_cpu):
            shapes = [(tuple(each.shape), "gpu" if here else "cpu") for each, here in zip(given, lie, strict=True)]
            gpu.refuse(f"{func} of {shapes}")
        if kind in READ or kind in OF_UNKNOWN_SIZE or (kind is aten.repeat_interleave and len(args) == 1):
            gpu.wait(kind.__name__.strip("_"))


def _check_indices(gpu: PretendedGPU, kind, args: tuple) -> None:
    """Masks are counted by the host; indices that lie there are copied."""
    tensor, indices, values = args[0], [index for index in args[1] if index is not None], args[2:3]
    if not gpu.holds(tensor):
        gpu.refuse(f"{kind.__name__} of a CPU tensor by what lies on the GPU")
    if values and values[0].dim() and not gpu.holds(values[0]):
        gpu.refuse(f"{kind.__name__} of a GPU tensor with values on the CPU")
    filled = bool(values) and values[0].numel() == 1 and len(indices) == 1 and not (len(args) > 3 and args[3])
    for index in indices:
        if index.dtype in (torch.bool, torch.uint8) and not filled:
            gpu.wait("mask as index")
        elif not gpu.holds(index):
            gpu.wait("indices on the CPU")


PROPERTIES = SimpleNamespace(name="pretended", major=9, minor=0, total_memory=2**34, multi_processor_count=1)
CUDA = {
    "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0, "is_initialized": lambda: False,
    "get_device_properties": lambda *device: PROPERTIES, "get_device_capability": lambda *device: (9, 0),
    "get_device_name": lambda *device: "pretended", "mem_get_info": lambda *device: (2**34, 2**34),
    "memory_allocated": lambda *device: 0, "max_memory_allocated": lambda *device: 0, "is_bf16_supported": lambda: True,
    "get_rng_state": lambda *device: torch.get_rng_state(),
    **{name: lambda *words, **options: None for name in (
        "set_device", "empty_cache", "synchronize", "reset_peak_memory_stats", "manual_seed", "manual_seed_all",
        "set_rng_state")},
}  # fmt: skip


@contextlib.contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Within, `torch.cuda.is_available()`, and models and batches can be moved there."""
    gpu, step = PretendedGPU(), Trainer.train_step

    def counted(self, *args, **kwargs):
        before = gpu.waits.copy()
        try:
            return step(self, *args, **kwargs)
        finally:
            gpu.updates.append(gpu.waits - before)

    calls = _Calls(gpu)
    with contextlib.ExitStack() as stack:
        for name, pretended in CUDA.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, pretended))
        stack.enter_context(mock.patch.object(Trainer, "train_step", counted))
        stack.enter_context(calls)
        stack.enter_context(_Operations(gpu, calls))
        yield gpu
