import json
import struct

import pytest
import torch

from mobanet_mmseg.weights.safetensors import read_safetensors

NUMBERS = struct.pack('<2f', 1.5, -2.0) + struct.pack('<3e', 1.0, 2.0, 3.0)
HEADER = {
    '__metadata__': {'format': 'pt'},
    'weight': {'dtype': 'F32', 'shape': [1, 2], 'data_offsets': [0, 8]},
    'bias': {'dtype': 'F16', 'shape': [3], 'data_offsets': [8, 14]},
}


def write(path, header, numbers=NUMBERS):
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + numbers)
    return path


def test_tensors_have_the_files_numbers_shapes_and_types(tmp_path):
    tensors = read_safetensors(write(tmp_path / 'a.safetensors', HEADER))
    assert set(tensors) == {'weight', 'bias'}
    assert torch.equal(tensors['weight'], torch.tensor([[1.5, -2.0]]))
    assert torch.equal(tensors['bias'], torch.tensor([1.0, 2.0, 3.0], dtype=torch.float16))


@pytest.mark.parametrize(
    'header',
    [
        {'a': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}},  # past the end
        {'a': {'dtype': 'F32', 'shape': [3], 'data_offsets': [0, 8]}},
        {'a': {'dtype': 'I64', 'shape': [1], 'data_offsets': [0, 8]}},
        {'a': {'dtype': 'F32', 'shape': [1]}},
        {'a': 3},
        [1],
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header):
    with pytest.raises(ValueError, match=r'a\.safetensors is no whole \.safetensors file'):
        read_safetensors(write(tmp_path / 'a.safetensors', header))


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'\xff' * 64])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / 'a.safetensors').write_bytes(content)
    with pytest.raises(ValueError, match='download it again'):
        read_safetensors(tmp_path / 'a.safetensors')
