"""Put the frozen encoder into a checkpoint, or leave it out."""

import argparse
from pathlib import Path
from typing import Any

import torch

from mobanet_mmseg.configs import read_config
from mobanet_mmseg.engine.complexity import build_without_memory
from mobanet_mmseg.mistakes import ending_in_one_sentence
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


@ending_in_one_sentence()
def convert(args: argparse.Namespace) -> None:
    """Put the frozen encoder into a checkpoint, or leave it out.

    Args:
        args: What tools/misc/merge_checkpoint.py was told.
    """
    check_outputs([args.out], [args.checkpoint, args.config])
    config = read_config(args.config, args.cfg_options)
    encoders = encoders_of(build_without_memory(config))
    if not encoders:
        raise ValueError(f'The model of {args.config} has no frozen encoder: give another config.')
    check_outputs([args.out], weight_files(encoders.values(), args.checkpoint))
    content = read_checkpoint(args.checkpoint)
    content = content if 'state_dict' in content else {'state_dict': content}
    named = described(encoders)
    content['meta'] = {**(content.get('meta') or {}), 'frozen_encoders': named}
    for prefix, encoder in encoders.items():
        change = _split if args.split else _merge
        change(content, encoder, prefix, args.checkpoint)
    with whole_file(args.out, RuntimeError) as part:  # torch's, of a full disk
        torch.save(content, part)
    how = 'without' if args.split else 'with'
    for words in named.values():
        print(
            f'{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {how} {words["file"]}, whose '
            f'licence is {words["licence"]}'
        )


def _merge(content: dict[str, Any], encoder: Encoder, prefix: str, source: Path) -> None:
    if not put_back(content, encoder, prefix, source):
        raise CheckpointError(f'{source} leaves no encoder out: it is whole as it is.')


def _split(content: dict[str, Any], encoder: Encoder, prefix: str, source: Path) -> None:
    try:
        leave_out(content, encoder, prefix, WeightFile.all_of(encoder, source.absolute().parent))
    except CheckpointError as error:
        raise CheckpointError(
            f'The encoder of {source} cannot be left out: {error}; set model.{prefix}'
            'init_cfg.checkpoint (--cfg-options) to the weight file that it was trained with.'
        ) from error
