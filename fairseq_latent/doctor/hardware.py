"""Checks of torch and of the machine it computes on."""

from fairseq_latent.doctor.machine import Machine
from fairseq_latent.doctor.packages import release
from fairseq_latent.doctor.result import FAIL, OK, WARN, Result

GIGABYTE = 10**9

ASK_TORCH = """
import json, torch
gpu = torch.cuda.is_available()
print(json.dumps({
    "cuda": torch.version.cuda or getattr(torch.version, "hip", None),
    "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if gpu else [],
    "bfloat16": gpu and torch.cuda.is_bf16_supported(),
}))
"""


def torch(machine: Machine) -> Result:
    """2.6 or newer, and a real import."""
    version = machine.version("torch")
    if version is None:
        return Result(FAIL, "torch", "not installed", "pip install torch")
    if release(version) < (2, 6):
        return Result(FAIL, "torch", version, "pip install 'torch>=2.6'")
    answer = machine.ask(ASK_TORCH)
    if answer.error:
        return Result(FAIL, "torch", f"{version}: {answer.error}", "pip install --force-reinstall torch")
    build = f"for GPUs ({answer.facts['cuda']})" if answer.facts["cuda"] else "for CPUs"
    return Result(OK, "torch", f"{version}, built {build}")


def gpu(machine: Machine) -> Result:
    """A GPU that is there should be seen by torch."""
    answer = machine.ask(ASK_TORCH)
    if answer.error:
        return Result(WARN, "gpu", "unknown, torch does not import", "repair torch")
    if answer.facts["gpus"]:
        return Result(OK, "gpu", ", ".join(answer.facts["gpus"]))
    if answer.facts["cuda"]:
        remedy = "run nvidia-smi to see the driver; on a machine without GPU install torch built for CPUs"
        return Result(WARN, "gpu", "torch is built for GPUs, but sees none", remedy)
    if machine.command("nvidia-smi"):
        remedy = "install torch built for GPUs: https://pytorch.org/get-started/locally"
        return Result(WARN, "gpu", "nvidia-smi is here, but torch is built for CPUs", remedy)
    return Result(OK, "gpu", "none; everything runs on the CPU, slower")


def bfloat16(machine: Machine) -> Result:
    """Units that multiply bfloat16: they make training and best-of-K scoring cheap (--autocast, --selection-dtype)."""
    units = machine.processor_flags() & {"amx_bf16", "avx512_bf16", "bf16"}
    answer = machine.ask(ASK_TORCH)
    if answer.facts.get("bfloat16"):
        return Result(OK, "bfloat16", "on the GPU")
    if units and not answer.facts.get("gpus"):
        return Result(OK, "bfloat16", f"on the CPU ({', '.join(sorted(units))})")
    return Result(OK, "bfloat16", "no units for it: leave --autocast and --selection-dtype as they are")


def torchaudio(machine: Machine) -> Result:
    """Text needs none; one built for GPUs beside a torch for CPUs breaks `import transformers`."""
    version = machine.version("torchaudio")
    if version is None:
        return Result(OK, "torchaudio", "not installed, not needed")
    answer = machine.ask("import torchaudio; print('{}')")
    if answer.error:
        return Result(WARN, "torchaudio", f"{version}: {answer.error}", "pip uninstall -y torchaudio")
    return Result(OK, "torchaudio", f"{version}, not needed")


def waiting_threads(machine: Machine) -> Result:
    """On a CPU that others use too, threads that wait by spinning slow small operations up to tenfold."""
    for name, calm in {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}.items():
        if machine.environment.get(name, "").lower() == calm:
            return Result(OK, "waiting threads", f"{name}={calm}")
    if machine.ask(ASK_TORCH).facts.get("gpus"):
        return Result(OK, "waiting threads", "the work is on the GPU")
    return Result(WARN, "waiting threads", "they spin on the CPU", "export OMP_WAIT_POLICY=passive")


def cores(machine: Machine) -> Result:
    """For information."""
    return Result(OK, "cores", str(machine.cores()))


def memory(machine: Machine) -> Result:
    """52 million float32 parameters, gradients and Adam's two moments are 0.8 GB; activations come on top."""
    found = f"{machine.memory() / GIGABYTE:.1f} GB"
    if machine.memory() < 4 * GIGABYTE:
        return Result(WARN, "memory", found, "train with fewer --max-tokens and more --update-freq")
    return Result(OK, "memory", found)


def disk(machine: Machine) -> Result:
    """A checkpoint of 52 million parameters with Adam's two moments has 0.6 GB, and fairseq keeps several."""
    found = f"{machine.free_disk() / GIGABYTE:.1f} GB free here"
    if machine.free_disk() < 5 * GIGABYTE:
        return Result(WARN, "disk", found, "free space, or train with --no-epoch-checkpoints --save-dir elsewhere")
    return Result(OK, "disk", found)
