"""Strip a checkpoint of what only training needs."""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import torch

from mobanet_mmseg.configs import read_config
from mobanet_mmseg.engine.complexity import build_without_memory
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.models.adapters import described, encoders_of
from mobanet_mmseg.weights.checkpoints import CheckpointError, read_checkpoint
from mobanet_mmseg.weights.fingerprints import FINGERPRINT, words_of
from mobanet_mmseg.writing import check_outputs, reporting, whole_file

KEPT = ('meta', 'state_dict')


@ending_in_one_sentence()
def publish(args: argparse.Namespace) -> None:
    """Strip a checkpoint of what only training needs.

    Args:
        args: What tools/misc/publish_checkpoint.py was told.
    """
    check_outputs([args.out], [args.checkpoint, *filter(None, [args.config])])
    content = read_checkpoint(args.checkpoint)
    if 'state_dict' not in content or 'meta' not in content:
        raise CheckpointError(
            f'{args.checkpoint} holds no state_dict with a meta, so it is no checkpoint of a '
            'trained segmentor: give a .pth file that the training wrote.'
        )
    content = {key: content[key] for key in KEPT}
    if args.config is not None:
        encoders = encoders_of(build_without_memory(read_config(args.config)))
        content['meta'] = {**content['meta'], 'frozen_encoders': described(encoders)}
    written = _write(content, args.out)
    print(f'{written}: {written.stat().st_size / 1e6:.1f} MB')
    for sentence in _licences(content):
        print(sentence)


def _write(content: dict[str, Any], out: Path) -> Path:
    """Write a file with the first digits of its SHA-256 in its name; returns its path."""
    unnamed = out.with_name(f'.{out.name}.unnamed')
    with whole_file(unnamed, RuntimeError) as part:  # torch's, of a full disk
        torch.save(content, part)
    with unnamed.open('rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    named = out.with_name(f'{out.stem}-{digest[:8]}.pth')
    with reporting(named):
        unnamed.replace(named)
    return named


def _licences(content: dict[str, Any]) -> list[str]:
    """Say of each encoder under which licence it stands."""
    sentences = []
    for name in content['meta'].get('frozen_encoders') or ():
        words = words_of(content['meta'], name)
        out = f'{name}.{FINGERPRINT}' in content['state_dict']
        holds = 'is not in it: who loads it needs the file' if out else 'is in it'
        sentences.append(
            f'The encoder, {words.get("architecture")} from {words.get("file")} (licence: '
            f'{words.get("licence")}), {holds}.'
        )
    if not sentences and any('.encoder.vit.' in name for name in content['state_dict']):
        sentences.append('It does not say which encoder it holds, of what licence: give --config.')
    return sentences
