"""Make a checkpoint whole, to share it: merge_checkpoint.py CONFIG CHECKPOINT OUT.

A training saves what it trains and a fingerprint of the frozen encoder. Merged, the encoder from
its weight file stands in the file, too; with --split it is left out again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.engine.complexity import build_without_memory
from mobanet_mmseg.models.adapters import (
    WeightFile,
    described,
    encoders_of,
    leave_out,
    put_back,
    weight_files,
)
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.weights.checkpoints import CheckpointError, read_checkpoint
from mobanet_mmseg.writing import check_outputs, whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Put the frozen encoder into a checkpoint, from its weight file'
    )
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', type=Path, help='checkpoint that a training wrote')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    parser.add_argument(
        '--split', action='store_true', help='leave the encoder out of a whole checkpoint instead'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def convert(args: argparse.Namespace) -> None:
    check_outputs([args.out], [args.checkpoint, args.config])
    config = read_config(args.config)
    config.merge_from_dict(args.cfg_options or {})
    encoders = encoders_of(build_without_memory(config))
    if not encoders:
        raise ValueError(f'The model of {args.config} has no frozen encoder: give another config.')
    check_outputs([args.out], weight_files(encoders.values(), args.checkpoint))
    content = read_checkpoint(args.checkpoint)
    content = content if 'state_dict' in content else {'state_dict': content}
    named = described(encoders)
    content['meta'] = {**(content.get('meta') or {}), 'frozen_encoders': named}
    for prefix, encoder in encoders.items():
        change = split if args.split else merge
        change(content, encoder, prefix, args.checkpoint)
    with whole_file(args.out, RuntimeError) as part:  # torch's, of a full disk
        torch.save(content, part)
    how = 'without' if args.split else 'with'
    for words in named.values():
        print(
            f'{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {how} {words["file"]}, whose '
            f'licence is {words["licence"]}'
        )


def merge(content: dict[str, Any], encoder: Encoder, prefix: str, source: Path) -> None:
    if not put_back(content, encoder, prefix, source):
        raise CheckpointError(f'{source} leaves no encoder out: it is whole as it is.')


def split(content: dict[str, Any], encoder: Encoder, prefix: str, source: Path) -> None:
    try:
        leave_out(content, encoder, prefix, WeightFile.all_of(encoder, source.absolute().parent))
    except CheckpointError as error:
        raise CheckpointError(
            f'The encoder of {source} cannot be left out: {error}; set model.{prefix}'
            'init_cfg.checkpoint (--cfg-options) to the weight file that it was trained with.'
        ) from error


def main() -> None:
    args = parse_args()
    try:
        convert(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
