"""Reads ``.safetensors`` files: Hugging Face's and timm's weights, which hold no code."""

import json
import struct
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {'F64': torch.float64, 'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a file: 8 bytes of header length, a JSON header, then the bytes.

    Args:
        path: The file.

    Returns:
        Tensors by name.

    Raises:
        ValueError: If the file is cut short, is no such file, or holds other than floats.
    """
    content = bytearray(path.read_bytes())
    try:
        (length,) = struct.unpack_from('<Q', content)
        header = json.loads(content[8 : 8 + length])
        header.pop('__metadata__', None)
        return {
            name: _read_tensor(entry, content, start=8 + length) for name, entry in header.items()
        }
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f'{path} is no whole .safetensors file of floating-point tensors '
            f'({type(error).__name__}: {error}): download it again.'
        ) from error


def _read_tensor(entry: dict, content: bytearray, start: int) -> Tensor:
    first, end = entry['data_offsets']
    dtype = DTYPES[entry['dtype']]
    if not 0 <= first < end <= len(content) - start:
        raise ValueError(f'bytes {first} to {end} of {len(content) - start}')
    count = (end - first) // dtype.itemsize
    flat = torch.frombuffer(content, dtype=dtype, count=count, offset=start + first)
    return flat.reshape(entry['shape'])
