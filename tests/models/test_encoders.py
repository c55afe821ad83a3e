import pytest
from scenes.encoders import tiny_sam
from scenes.models import tiny_vit

from mobanet_mmseg.models.dinov2 import DINOv2
from mobanet_mmseg.models.encoders import build_encoder
from mobanet_mmseg.models.sam import SAM


def test_the_kind_of_vit_decides_the_encoder():
    assert isinstance(build_encoder(tiny_vit()), DINOv2)
    assert isinstance(build_encoder(tiny_sam()), SAM)


def test_config_stays_as_it_is():
    config = tiny_vit(num_registers=4, init_cfg=dict(type='Pretrained', checkpoint='none.pth'))
    build_encoder(config)
    assert {'num_registers', 'init_cfg'} <= set(config)


def test_other_backbones_are_refused():
    with pytest.raises(ValueError, match=r'encoder is a ResNet; .*VisionTransformer.*ViTSAM'):
        build_encoder(dict(type='mmpretrain.ResNet', depth=18))


def test_other_ways_of_initialising_are_refused():
    with pytest.raises(ValueError, match="type 'Normal'"):
        build_encoder(tiny_vit(init_cfg=dict(type='Normal')))


def test_registers_are_dinov2s_alone():
    with pytest.raises(TypeError, match='num_registers'):
        build_encoder(tiny_sam(num_registers=4))
