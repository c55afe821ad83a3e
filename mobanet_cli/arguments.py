"""Arguments that several tools share, parsed before the stack is imported: in no time."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODALITIES = ('both', 'rgb', 'aux')


class ConfigOptions(argparse.Action):
    """Settings as ``key=value``, read by MMEngine's own action once there are some."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Put the settings into the namespace, as a dictionary from key to value.

        Args:
            parser: The parser.
            namespace: What it has found so far.
            values: The settings.
            option_string: The option that they follow.
        """
        for text in values or ():
            if not text.partition('=')[0].strip() or '=' not in text:
                parser.error(f'{option_string} got {text!r}: give key=value, without spaces')
        from mmengine.config import DictAction  # takes a second, which --help need not

        read = DictAction(self.option_strings, self.dest, nargs=self.nargs)
        try:
            read(parser, namespace, values, option_string)
        except AssertionError as error:  # of brackets that do not pair up
            parser.error(f'{option_string}: {error}')


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read settings as ``--cfg-options`` does.

    Args:
        texts: Each ``key=value``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--settings', nargs='*', action=ConfigOptions, default={})
    return parser.parse_args(['--settings', *texts]).settings


def add_cfg_options(parser: argparse._ActionsContainer, what: str = 'the config') -> None:
    """Add settings that override configs.

    Args:
        parser: What they are added to.
        what: What they override, for the help.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help=f'settings that override {what}; key="[(a,b),(c,d)]" for lists',
    )


def add_checkpoint(parser: argparse._ActionsContainer) -> None:
    """Add a config and a checkpoint of what it describes.

    Args:
        parser: What they are added to.
    """
    parser.add_argument('config', help='config file, or the name of one of the package')
    parser.add_argument('checkpoint', help='checkpoint file')


def add_modality(parser: argparse._ActionsContainer) -> None:
    """Add what a network gets to see.

    Args:
        parser: What it is added to.
    """
    parser.add_argument(
        '--modality',
        choices=MODALITIES,
        default='both',
        help='what the network gets; the other one is 0 after normalisation',
    )


def add_device(parser: argparse._ActionsContainer) -> None:
    """Add the device that a network runs on.

    Args:
        parser: What it is added to.
    """
    parser.add_argument('--device', default='auto', help='cpu, cuda:0 ... (default: a GPU if any)')


def add_conversion(parser: argparse._ActionsContainer, what: str) -> None:
    """Add a config, a checkpoint that was trained with it, and the file to make of them.

    Args:
        parser: What they are added to.
        what: What that file is, for the help.
    """
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', type=Path, help='checkpoint that a training wrote')
    parser.add_argument('out', type=Path, help=f'{what} to write')
    add_cfg_options(parser)


def add_launcher(parser: argparse._ActionsContainer) -> None:
    """Add what has started the processes of one command.

    Args:
        parser: What it is added to.
    """
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes, if there are several',
    )
    # torch.distributed.launch passes either spelling
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_sidecars(parser: argparse._ActionsContainer) -> None:
    """Add what is made of a label map beside it.

    Args:
        parser: What it is added to, or a group of it.
    """
    parser.add_argument(
        '--polygons',
        nargs='?',
        const='',
        metavar='GPKG',
        help='also the polygons of the classes, in *_polygons.gpkg unless it has a name',
    )
    parser.add_argument(
        '--simplify',
        type=float,
        metavar='TOLERANCE',
        help='cut off corners of polygons that are smaller, map units; try three pixels',
    )
    parser.add_argument(
        '--style', action='store_true', help='also *.qml, by which QGIS names and colours classes'
    )
    parser.add_argument(
        '--statistics', action='store_true', help='also *_classes.csv, the area of each class'
    )
    parser.add_argument(
        '--zones',
        metavar='FILE',
        help='also *_zones.csv, the share of each class in each polygon of FILE',
    )


def add_runner_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments that MMSeg's train and test commands have in common.

    Args:
        parser: What they are added to.
    """
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    add_cfg_options(parser)
    add_launcher(parser)
