"""Names the machine and the versions that measured figures belong to."""

import os
import platform
from pathlib import Path

import numpy as np
import rasterio
import torch


def describe_machine(device: str | torch.device = 'cpu') -> str:
    """Describe the machine in one line: processor, GPU and versions.

    Args:
        device: Where the measured work runs.
    """
    parts = [_cpu_name(), f'{os.cpu_count()} cores', f'{torch.get_num_threads()} threads of torch']
    if torch.device(device).type == 'cuda':
        parts += [torch.cuda.get_device_name(device), f'CUDA {torch.version.cuda}']
    parts.append(f'Python {platform.python_version()}')
    parts += [f'{module.__name__} {module.__version__}' for module in (np, torch, rasterio)]
    return ', '.join([*parts, f'GDAL {rasterio.__gdal_version__}'])


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()
