"""The encoder of docs/add_an_encoder.md, as it stands there."""

import re

import pytest
import torch
from mmseg.registry import MODELS
from scenes.encoders import metas_names, random_encoder, run
from scenes.paths import ROOT

from mobanet_mmseg.models.frozen_streams import build_encoder
from mobanet_mmseg.models.multimodal_vit import MultimodalViT

ARCH = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
CONFIG = dict(type='PlainViT', arch=ARCH, img_size=80, patch_size=16)


@pytest.fixture(autouse=True, scope='module')
def registered():
    """Run the page's first piece of code."""
    page = (ROOT / 'docs' / 'add_an_encoder.md').read_text()
    code = re.search(r'```python\n(.*?)```', page, re.DOTALL)[1]
    assert len(code.splitlines()) < 60
    exec(code, {'__name__': 'my_encoders'})
    yield
    MODELS._module_dict.pop('PlainViT')


@pytest.mark.parametrize('size', [(80, 80), (48, 112)])
def test_it_gives_the_vits_own_features_at_the_native_grid_and_another(size):
    encoder = random_encoder(CONFIG)
    encoder.vit.out_type = 'featmap'
    image = torch.rand(2, 3, *size)
    torch.testing.assert_close(run(encoder, image)[-1], encoder.vit(image)[0])


def test_it_reads_metas_names_and_another_native_grid(tmp_path):
    source = random_encoder(dict(CONFIG, img_size=112))
    torch.save(metas_names(source.vit.state_dict()), tmp_path / 'mae.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'mae.pth'))
    target = build_encoder(dict(CONFIG, init_cfg=pretrained))
    target.init_weights()
    target.eval()
    image = torch.rand(1, 3, 80, 80)
    torch.testing.assert_close(run(target, image), run(source, image))


def test_it_stays_as_it_is_while_the_adapters_train():
    model = MultimodalViT(
        CONFIG, out_indices=(0, 1, 2, 3), cpia=dict(prompt_dims=4), allow_random_encoder=True
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=0.1, weight_decay=0.5)
    rgb_maps, aux_maps = model(torch.rand(2, 4, 32, 48))
    sum(m.square().sum() for m in (*rgb_maps, *aux_maps)).backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('encoder.'), name
