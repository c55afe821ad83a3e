import runpy
import sys

import pytest
import torch
from mmseg.registry import MODELS
from scenes.encoders import hugging_faces_names, metas_names, random_encoder, tiny_sam
from scenes.models import tiny_vit
from scenes.paths import ROOT

TOOL = ROOT / 'tools' / 'model_converters' / 'encoder_weights.py'


def convert(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_converted_file_is_one_that_mmpretrain_loads_strictly(tmp_path, monkeypatch, capsys):
    vit = random_encoder(tiny_vit()).vit
    torch.save(hugging_faces_names(vit.state_dict()), tmp_path / 'dinov2.bin')
    convert(monkeypatch, tmp_path / 'dinov2.bin', tmp_path / 'new' / 'dinov2.pth')
    assert 'a DINOv2 of 4 blocks, 16 channels, patches of 14' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['dinov2.pth']
    pretrained = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'new' / 'dinov2.pth'), prefix='backbone.'
    )
    plain = dict(type='mmpretrain.VisionTransformer', init_cfg=pretrained)
    other = MODELS.build({**tiny_vit(), **plain})
    other.init_weights()
    for name, value in vit.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_sams_neck_is_converted_too(tmp_path, monkeypatch):
    vit = MODELS.build(dict(tiny_sam(), type='mmpretrain.ViTSAM', out_channels=4))
    state = {f'image_encoder.{name}': v for name, v in metas_names(vit.state_dict()).items()}
    torch.save(state, tmp_path / 'sam.pth')
    convert(monkeypatch, tmp_path / 'sam.pth', tmp_path / 'out.pth')
    converted = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    vit.load_state_dict({name.removeprefix('backbone.'): v for name, v in converted.items()})


def test_mistakes_are_one_sentence_and_leave_no_file(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r'^error: .*none\.pth does not exist'):
        convert(monkeypatch, tmp_path / 'none.pth', tmp_path / 'out.pth')
    assert not list(tmp_path.iterdir())
