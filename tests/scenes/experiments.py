"""Two toy networks on toy tiles, as rows of a table."""

from argparse import Namespace
from pathlib import Path

from mmengine.config import Config
from scenes.commands import forget_commands
from scenes.paths import ROOT
from scenes.rasters import write_potsdam
from scenes.toy import toy

from mobanet_mmseg.experiments import child, runs

BASES = {
    'toy_both': 'mobanet/demo.py',
    'toy_optical': 'deeplabv3plus/deeplabv3plus_r50_potsdam_rgb.py',
}


def write_toys(folder: Path) -> list[Path]:
    """Write tiles and the configs of two networks: of both modalities, of the optical one."""
    write_potsdam(folder / 'data', ['2_10', '2_11', '2_13', '2_14'])
    written = []
    for name, base in BASES.items():
        config = Config.fromfile(ROOT / 'configs' / base)
        config.model = toy(config)
        config.crop_size = (28, 42)
        config.train_dataloader.sampler.window_size = (28, 42)
        for split, tiles in (
            ('train', ['2_10', '2_11']),
            ('val', ['2_13']),
            ('test', ['2_13', '2_14']),
        ):
            config[f'{split}_dataloader'].dataset.update(
                data_root=str(folder / 'data'), tiles=tiles
            )
        config.default_hooks.checkpoint.save_best = 'mIoU'
        written.append(folder / f'{name}.py')
        written[-1].write_text(runs.Run.of(name, config, 0, folder).text)
    return written


def stay_in_process(patch) -> list[str]:
    """Let runs be worked off by this process; gives the folders of those that were."""
    begun = []

    def start(run: runs.Run, workers: int, repeats: int, threads: int | None) -> int:
        begun.append(f'{run.folder.parent.name}/{run.folder.name}')
        forget_commands(patch)
        child.work(Namespace(**vars(run), workers=workers, repeats=repeats))
        return 0

    patch.setattr(runs, '_start', start)
    return begun
