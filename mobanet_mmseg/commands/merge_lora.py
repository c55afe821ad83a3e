"""Write an encoder as a plain ViT with the LoRA of one stream in it."""

import argparse

import torch

from mobanet_mmseg.inference.trained import load_segmentor
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.models.adapters import weight_files
from mobanet_mmseg.models.mobanet import STREAMS
from mobanet_mmseg.models.multimodal_vit import MultimodalViT
from mobanet_mmseg.writing import check_outputs, whole_file


@ending_in_one_sentence()
def convert(args: argparse.Namespace) -> None:
    """Write an encoder as a plain ViT with the LoRA of one stream in it.

    Args:
        args: What tools/model_converters/merge_lora.py was told.
    """
    check_outputs([args.out], [args.checkpoint, args.config])
    model = load_segmentor(args.config, args.checkpoint, cfg_options=args.cfg_options)
    if not isinstance(model.backbone, MultimodalViT):
        raise ValueError(
            f'The backbone of {args.config} is a {type(model.backbone).__name__}; LoRA is merged '
            'into the encoder of a MultimodalViT.'
        )
    check_outputs([args.out], weight_files([model.backbone.encoder], args.checkpoint))
    tensors = model.backbone.merged(STREAMS.index(args.stream))
    state_dict = {f'backbone.{name}': value for name, value in tensors.items()}
    words = model.backbone.encoder.describe()
    with whole_file(args.out, RuntimeError) as part:  # torch's, of a full disk
        torch.save({'meta': {}, 'state_dict': state_dict}, part)
    print(
        f'{args.out}: {words["architecture"]}, updated for {args.stream}; the licence of its '
        f'weights is {words["licence"]}'
    )
