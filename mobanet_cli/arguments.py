"""Arguments that several tools share, parsed before the stack is imported."""

import argparse
from collections.abc import Sequence
from typing import Any


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
        from mmengine.config import DictAction  # seconds: not for --help

        DictAction(self.option_strings, self.dest, nargs=self.nargs)(
            parser, namespace, values, option_string
        )


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add settings that override the config.

    Args:
        parser: What they are added to.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings that override the config; key="[(a,b),(c,d)]" for lists',
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the device that a network runs on.

    Args:
        parser: What it is added to.
    """
    parser.add_argument('--device', default='auto', help='cpu, cuda:0 ... (default: a GPU if any)')


def add_launcher(parser: argparse.ArgumentParser) -> None:
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
