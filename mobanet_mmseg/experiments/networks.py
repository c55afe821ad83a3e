"""The rows of the tables: which network, by which config."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mobanet_mmseg.experiments.protocols import Protocol

OPTICAL, BOTH = 'optical', 'optical + aux'
OPTICAL_BANDS = {'potsdam': 'rgb', 'vaihingen': 'irrg'}


@dataclass(frozen=True)
class Network:
    """One row.

    Args:
        key: What ``--networks`` calls it, and the folder of its runs.
        name: What the table calls it.
        backbone: As the paper's tables have it.
        inputs: What it sees: ``OPTICAL`` or ``BOTH``; of a config of one's own, what the run says.
        config: Its config below ``configs``, with ``{data}`` for the archive and ``{optical}`` for
            its optical bands; or a file of its own.
        paper: Name of its row in the paper; empty if it has none.
        reason: Why it cannot run; empty if it can.
    """

    key: str
    name: str
    backbone: str
    inputs: str
    config: str
    paper: str = ''
    reason: str = ''

    def find_config(self, configs: Path, protocol: Protocol) -> Path:
        """Find the config of this network for a protocol.

        Args:
            configs: Folder of the configs.
            protocol: Says which archive, and whether the network's own recipe is used.

        Raises:
            ValueError: If there is none; the reason.
        """
        if self.reason:
            raise ValueError(self.reason)
        path = configs / self.config.format(
            data=protocol.archive, optical=OPTICAL_BANDS.get(protocol.archive)
        )
        if protocol.published:
            path = path.with_stem(f'{path.stem}_published')
        if not path.is_file():
            recipe = ' with its published recipe' if protocol.published else ''
            raise ValueError(f'there is no config of it{recipe} ({path.name})')
        return path

    @classmethod
    def of_config(cls, path: Path) -> 'Network':
        """Make a row of a config of one's own.

        Args:
            path: The config.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f'There is no config {path}: give the path of a config file.')
        model = Config.fromfile(path).model
        backbone = model.get('backbone') or {}
        return cls(path.stem, path.stem, str(backbone.get('type', '-')), '', str(path.resolve()))


def _compared(key: str, name: str, backbone: str, inputs: str, config: str = '') -> Network:
    return Network(key, name, backbone, inputs, config or f'{key}/{key}_{{data}}.py', name)


def _stock(key: str, name: str, backbone: str) -> tuple[Network, Network]:
    """One of MMSegmentation's own models, on the optical image and with the aux as a channel."""
    config = f'{key.split("_")[0]}/{key}_{{data}}_{{optical}}'
    return (
        Network(key, name, backbone, OPTICAL, f'{config}.py'),
        Network(f'{key}_early_fusion', f'{name}, early fusion', backbone, BOTH, f'{config}-dsm.py'),
    )


def _mobanet(key: str, encoder: str, size: str) -> Network:
    return Network(
        f'mobanet_{key}',
        f'MoBaNet ({encoder}-{size})',
        f'ViT-{size}',
        BOTH,
        f'mobanet/{{data}}_{key}.py',
        f'MoBaNet-{encoder}-{size}',
    )


NETWORKS = (
    _compared('unet', 'U-Net', '-', OPTICAL),
    _compared('segnet', 'SegNet', 'VGG16', OPTICAL),
    _compared('fusenet', 'FuseNet', 'VGG16', BOTH),
    _compared('pspnet', 'PSPNet', 'ResNet101', OPTICAL),
    _compared('abcnet', 'ABCNet', 'ResNet18', OPTICAL),
    _compared('dcswin', 'DC-Swin', 'Swin-B', OPTICAL),
    _compared('maresunet', 'MAResU-Net', 'ResNet18', OPTICAL),
    _compared('unetformer', 'UNetFormer', 'ResNet18', OPTICAL),
    _compared('vfusenet', 'vFuseNet', 'VGG16', BOTH),
    _compared('cmfnet', 'CMFNet', 'VGG16', BOTH),
    _compared('cmgfnet', 'CMGFNet', 'ResNet34', BOTH),
    Network(
        'tmfnet',
        'TMFNet',
        'ResNet34',
        BOTH,
        '',
        'TMFNet',
        'neither its code nor a full description is public',
    ),
    _compared('ftransunet', 'FTransUNet', 'R50-ViT-B', BOTH),
    _compared('manet', 'MANet', 'ViT-B', BOTH),
    Network('manet_lora', 'MANet (LoRA)', 'ViT-B', BOTH, 'manet/manet_lora_{data}.py'),
    _mobanet('sam_b', 'SAM', 'B'),
    _mobanet('sam_l', 'SAM', 'L'),
    _mobanet('dinov2_b', 'DINOv2', 'B'),
    _mobanet('dinov2_l', 'DINOv2', 'L'),
    *_stock('deeplabv3plus_r50', 'DeepLabV3+', 'ResNet50'),
    *_stock('upernet_swin_t', 'UPerNet', 'Swin-T'),
    *_stock('segformer_b0', 'SegFormer B0', 'MiT-B0'),
    *_stock('segformer_b2', 'SegFormer B2', 'MiT-B2'),
    *_stock('segnext_t', 'SegNeXt-T', 'MSCAN-T'),
)


def paper_row(path: Path) -> str:
    """Give the paper's row of a config of the repository; empty if it has none.

    Args:
        path: The config.
    """
    for network in NETWORKS:
        for data, optical in OPTICAL_BANDS.items() if network.paper else ():
            own = network.config.format(data=data, optical=optical)
            if own and path.resolve().as_posix().endswith(f'/{own}'):
                return network.paper
    return ''


def choose_networks(keys: Sequence[str] | None, files: Sequence[Path]) -> list[Network]:
    """Give the rows that a user asks for, in the order of the tables, then those of own configs.

    Args:
        keys: Of the rows; None is all of them.
        files: Configs of the user's own.

    Raises:
        FileNotFoundError: If a config is missing.
        ValueError: If there is no such row, or two have one name.
    """
    known = {network.key: network for network in NETWORKS}
    unknown = sorted({*(keys or ())} - known.keys())
    if unknown:
        raise ValueError(
            f'There is no row {", ".join(unknown)}: choose of {", ".join(known)}; or give a config '
            'of your own by --config.'
        )
    rows = [network for key, network in known.items() if keys is None or key in keys]
    rows += [Network.of_config(path) for path in files]
    names = [network.key for network in rows]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(f'Two rows are called {double[0]}: rename one of the configs.')
    return rows
