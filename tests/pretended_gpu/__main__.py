"""pytest on a machine without a GPU, as if it had one.

    python -m tests.pretended_gpu -m gpu tests/test_gpu.py

Tensors on "cuda" hold the CPU's memory, and the CPU's kernels compute them
(pretended_device.cpp), so that all code for GPUs runs, with the numbers that it has to
give, and tensors left on the wrong device are refused as CUDA refuses them. What it
cannot show: CUDA's own kernels, their speed and their rounding, compiled FlexAttention.
Needs g++.
"""

import ctypes
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "pretended_device.cpp"
BUILT = HERE.parent.parent / "build" / "pretended_gpu"


def library() -> Path:
    """The compiled device, for this source and this torch."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    torch = Path(spec.origin).parent
    version = (torch / "version.py").read_bytes()
    name = hashlib.sha256(SOURCE.read_bytes() + version).hexdigest()[:16]
    target = BUILT / f"{name}.so"
    if not target.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        include = torch / "include"
        command = ["g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-w"]
        command += [f"-I{include}", f"-I{include}/torch/csrc/api/include"]
        scratch = target.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, str(SOURCE), "-o", str(scratch)], check=True)
        scratch.rename(target)
    for needed in ("torch_global_deps", "c10", "torch_cpu", "torch"):
        name = str(torch / "lib" / f"lib{needed}.so")
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    return target


def start() -> None:
    """Let torch, which is not imported yet, find the device."""
    device = ctypes.CDLL(str(library()))
    from tests.pretended_gpu.pretended_cuda import pretend

    pretend(device)


def main() -> int:
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # Triton needs a real one
    start()
    import pytest

    from tests.pretended_gpu.traced_lines import TracedLines

    return pytest.main(sys.argv[1:], plugins=[TracedLines()])


if __name__ == "__main__":
    sys.exit(main())
