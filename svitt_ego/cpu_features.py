"""What this CPU computes in hardware. Imports nothing heavy."""

from functools import cache
from pathlib import Path


@cache
def cpu_computes_bf16(cpu_information: Path = Path("/proc/cpuinfo")) -> bool:
    """Without these instructions a CPU emulates bf16, 10 to 100 times slower than fp32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & _features(cpu_information))


def _features(cpu_information: Path) -> set[str]:
    try:
        text = cpu_information.read_text()
    except OSError:  # not Linux: ask for nothing the machine may lack
        return set()
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return set(lines[0].partition(":")[2].split()) if lines else set()
