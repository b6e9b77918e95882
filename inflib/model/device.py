"""Where a worker computes: the recipe says it, not what the machine happens to have."""

import torch

_CPU = torch.device("cpu")


def worker_device(gpus: float) -> torch.device:
    """Device of a worker with so many GPUs (gpus_per_worker): the CPU for 0.

    Ray leaves CUDA_VISIBLE_DEVICES as it is for a worker without GPUs, which may then
    see all of the machine's. Raises ValueError where GPUs are asked for and torch finds
    none: the CPU would take days without a word.
    """
    if not gpus:
        return _CPU
    if not torch.cuda.is_available():
        raise ValueError(
            f"gpus_per_worker is {gpus:g}, but torch {torch.__version__} finds no CUDA "
            "device: install torch for this machine's GPUs, or set it to 0"
        )
    return torch.device("cuda")
