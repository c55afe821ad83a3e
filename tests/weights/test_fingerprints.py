import hashlib
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path

import torch

from mobanet_mmseg.weights.fingerprints import (
    Origin,
    fingerprint_of,
    in_hex,
    left_out,
    with_origin,
)


def test_a_fingerprint_is_the_sha256_of_names_types_shapes_and_values():
    tensors = {'b': torch.tensor([[1.0, -2.0]]), 'a': torch.tensor(7)}
    digest = hashlib.sha256()
    digest.update(b'a torch.int64 ()\n' + (7).to_bytes(8, 'little'))
    digest.update(b'b torch.float32 (1, 2)\n' + bytes.fromhex('0000803f000000c0'))
    assert in_hex(fingerprint_of(tensors)) == digest.hexdigest()
    assert in_hex(fingerprint_of(dict(reversed(tensors.items())))) == digest.hexdigest()


def test_any_change_of_a_tensor_changes_the_fingerprint():
    value = torch.rand(2, 3)
    changes = [
        {'b': value},
        {'a': value.view(3, 2)},
        {'a': value.double()},
        {'a': value.nextafter(torch.tensor(1.0))},
        {'a': value, 'b': torch.empty(0)},
    ]
    found = {in_hex(fingerprint_of(tensors)) for tensors in ({'a': value}, *changes)}
    assert len(found) == 1 + len(changes)


def test_a_fingerprint_is_that_of_the_values_however_they_are_laid_out_or_stored():
    value = torch.rand(2, 3).bfloat16()
    for same in (value.float(), value.t().contiguous().t(), value.float().requires_grad_()):
        assert torch.equal(fingerprint_of({'a': same}), fingerprint_of({'a': value}))


def test_a_checkpoint_tells_its_encoders_where_it_comes_from_and_stays_as_it_is():
    words = {'architecture': 'a ViT', 'file': 'vit.pth', 'licence': 5}
    state = OrderedDict({'backbone.encoder.fingerprint': torch.zeros(32, dtype=torch.uint8)})
    state._metadata = {'backbone.encoder': {'version': 2}, 'backbone': 'no dict'}
    average = {f'module.{name}': value for name, value in state.items()}
    content = {
        'state_dict': state,
        'ema_state_dict': average,
        'meta': {'frozen_encoders': {'backbone.encoder': words}},
    }
    noted = with_origin(content, '/data/epoch_1.pth')
    origin = Origin('/data/epoch_1.pth', 'a ViT from vit.pth')
    assert noted['state_dict']._metadata['backbone.encoder'] == {'version': 2, 'origin': origin}
    assert noted['ema_state_dict']._metadata['module.backbone.encoder'] == {'origin': origin}
    assert origin.folder == Path('/data')
    assert Origin('https://site/epoch_1.pth').folder is None
    assert state._metadata['backbone.encoder'] == {'version': 2}
    assert content['ema_state_dict'] is average


def test_where_a_checkpoint_comes_from_is_copied_in_memory_and_not_saved(tmp_path):
    tensors = {'encoder.fingerprint': torch.zeros(32, dtype=torch.uint8)}
    noted = with_origin(tensors, 'epoch_1.pth')
    assert deepcopy(noted)._metadata['encoder'] == {'origin': Origin('epoch_1.pth')}
    torch.save(noted, tmp_path / 'a.pth')
    saved = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert saved._metadata['encoder'] == {'origin': {}}


def test_what_leaves_no_encoder_out_passes():
    content = {'state_dict': {'a': torch.ones(1), 3: torch.ones(1)}, 'meta': 'nothing'}
    assert with_origin(content, 'a.pth')['state_dict'] is content['state_dict']
    assert with_origin(content['state_dict'], 'a.pth') is content['state_dict']
    assert left_out(content['state_dict']) == []
