"""Each network predicts a raster through the command, with a picture."""

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from PIL import Image
from scenes.commands import run_tool
from scenes.pairs import place
from scenes.paths import ROOT
from scenes.prediction import write_trained
from scenes.rasters import write_raster
from scenes.toy import toy

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset

SIZE = (200, 300)
CONFIGS = [
    path for path in ROOT.glob('configs/*/*_potsdam*.py') if not path.stem.endswith('_published')
]
MOBANETS = ('potsdam_dinov2_b.py', 'potsdam_sam_b.py', '*_dinov3_*.py', '*_lora*.py')
CONFIGS += {path for name in MOBANETS for path in (ROOT / 'configs' / 'mobanet').glob(name)}
predicted: list[dict] = []


@pytest.mark.parametrize('path', sorted(CONFIGS), ids=lambda path: path.stem)
def test_a_network_predicts_a_geotiff_and_a_picture(tmp_path, monkeypatch, path):
    config = Config.fromfile(path)
    model = toy(config)
    half = [side // 2 for side in SIZE]
    model.test_cfg.update(mode='slide', crop_size=half, stride=half, batch_size=4)
    torch.manual_seed(1)
    dataset = config.test_dataloader.dataset.to_dict()
    if (toy_config := dict(model=model.to_dict(), dataset=dataset)) in predicted:
        return  # of another size
    predicted.append(toy_config)
    trained = write_trained(tmp_path, model.to_dict(), dataset, ISPRSPotsdamDataset.METAINFO)
    rng = np.random.default_rng(0)
    grid = dict(crs='EPSG:32633', transform=place(cell=0.05))
    rgb = write_raster(
        tmp_path / 'rgb.tif', rng.integers(1, 255, (*SIZE, 3), dtype=np.uint8), **grid
    )
    aux = write_raster(tmp_path / 'dsm.tif', rng.uniform(30, 60, SIZE).astype(np.float32), **grid)
    sees_both = dataset.get('height', 'dsm') is not None
    arguments = ['--rgb', rgb, *(['--aux', aux] if sees_both else [])]
    out, picture = tmp_path / 'map.tif', tmp_path / 'map.png'
    run_tool(monkeypatch, 'predict.py', *trained, *arguments, '--out', out, '--picture', picture)
    with rasterio.open(out) as labels:
        assert (labels.height, labels.width, labels.crs.to_epsg()) == (*SIZE, 32633)
        assert labels.transform == grid['transform']
        assert labels.read(1).max() < 6
    with Image.open(picture) as drawn:
        assert len(drawn.getcolors(2**24)) > 100
