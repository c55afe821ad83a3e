import pytest
import torch
from conftest import tiny_vit
from torch import nn

from mobanet_mmseg.models.encoders import build_encoder
from mobanet_mmseg.models.weights import place, read_state_dict, to_mmpretrain_names


class RunsCode:
    def __reduce__(self):
        return print, ('this must never be printed',)


def test_names_lose_their_prefix_and_others_are_left_out(tmp_path):
    state = {'backbone.weight': torch.ones(2), 'head.weight': torch.zeros(2)}
    torch.save({'state_dict': state}, tmp_path / 'weights.pth')
    assert list(read_state_dict(str(tmp_path / 'weights.pth'), 'backbone.')) == ['weight']


def test_missing_file_says_where_to_put_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth is not there.*init_cfg\.checkpoint'):
        read_state_dict(str(tmp_path / 'none.pth'))


def test_address_without_network_says_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/vit.pth'  # the discard port: nothing listens
    with pytest.raises(FileNotFoundError, match=r'hub/checkpoints/vit\.pth.*cfg-options'):
        read_state_dict(address)


def test_file_that_would_run_code_is_refused_and_does_not(tmp_path, capsys):
    torch.save({'state_dict': RunsCode()}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=r'evil\.pth is no weight file'):
        read_state_dict(str(tmp_path / 'evil.pth'))
    assert 'never' not in capsys.readouterr().out


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / 'page.pth').write_text('<html>not found</html>')
    with pytest.raises(ValueError, match=r'page\.pth is no weight file'):
        read_state_dict(str(tmp_path / 'page.pth'))


def test_prefix_that_no_name_has_is_refused(tmp_path):
    torch.save({'blocks.0.weight': torch.ones(2)}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r"no tensor whose name begins with 'backbone\.'.*blocks"):
        read_state_dict(str(tmp_path / 'weights.pth'), 'backbone.')


def test_every_misfit_is_listed():
    tensors = {'weight': torch.ones(3, 3), 'extra': torch.ones(1), 'mask_token': torch.ones(1)}
    with pytest.raises(ValueError, match='1 missing: bias; 1 left over: extra; 1 of another shape'):
        place(nn.Linear(2, 2), tensors, 'file.pth')


def test_tensors_arrive_as_they_are():
    layer = nn.Linear(2, 1)
    place(layer, {'weight': torch.tensor([[1.0, 2.0]]), 'bias': torch.tensor([3.0])}, 'file.pth')
    assert layer(torch.tensor([10.0, 100.0])).item() == 213.0


def test_metas_names_are_mmpretrains():
    vit = build_encoder(tiny_vit()).vit
    meta = {
        'blocks.0.attn.qkv.weight': 'layers.0.attn.qkv.weight',
        'blocks.3.norm2.bias': 'layers.3.ln2.bias',
        'blocks.1.mlp.fc1.weight': 'layers.1.ffn.layers.0.0.weight',
        'blocks.1.mlp.fc2.bias': 'layers.1.ffn.layers.1.bias',
        'blocks.2.ls1.gamma': 'layers.2.attn.gamma1.weight',
        'blocks.2.ls2.gamma': 'layers.2.ffn.gamma2.weight',
        'patch_embed.proj.bias': 'patch_embed.projection.bias',
        'norm.weight': 'ln1.weight',
    }
    renamed = to_mmpretrain_names({name: torch.ones(1) for name in meta})
    assert list(renamed) == list(meta.values())
    assert set(renamed) <= set(vit.state_dict())
