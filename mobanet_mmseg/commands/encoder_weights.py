"""Convert a pretrained encoder into the names of mmpretrain."""

import argparse

import torch

from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.weights.checkpoints import Architecture
from mobanet_mmseg.weights.files import read_encoder
from mobanet_mmseg.writing import check_outputs, whole_file


@ending_in_one_sentence()
def convert(args: argparse.Namespace) -> None:
    """Convert a pretrained encoder into the names of mmpretrain.

    Args:
        args: What tools/model_converters/encoder_weights.py was told.
    """
    check_outputs([args.out], [args.source])
    tensors = read_encoder(args.source, args.prefix)
    # copies: a tensor that is a part of a larger one would drag that into the file
    state_dict = {f'backbone.{name}': value.clone() for name, value in tensors.items()}
    with whole_file(args.out, RuntimeError) as part:  # torch's, of a full disk
        torch.save({'meta': {}, 'state_dict': state_dict}, part)
    print(f'{args.out}: {Architecture.of(tensors)}; {len(tensors)} tensors')
