"""Use a trained model from Python: images in, labels, probabilities and a GeoTIFF out.

After `make demo` or `mobanet demo`, in the same folder, whose model and rasters are used here:

    python demo/predict_from_python.py

For a model and rasters of your own:

    python demo/predict_from_python.py --config mine.py --checkpoint work_dirs/mine/epoch_50.pth
        --rgb image.tif --aux height.tif --out labels.tif

It writes labels.tif, labels_probabilities.tif and labels_confidence.tif, on the grid of the image,
and the picture labels.png. Copy what you need: each step stands alone.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mobanet_mmseg import MultimodalInferencer
from mobanet_mmseg.inference.pair_inferencer import Prediction
from mobanet_mmseg.visualization.colours import colourise, hillshade, stretch

TILES = Path('data/synthetic')
RUN = Path('work_dirs/demo')


def parse_args() -> argparse.Namespace:
    """Read which model and rasters are used; those of the demo by default."""
    parser = argparse.ArgumentParser(description='Predict from Python')
    parser.add_argument('--config', default='mobanet_mmseg::mobanet/demo.py')
    parser.add_argument('--checkpoint', default=RUN / 'epoch_1.pth')
    parser.add_argument('--rgb', default=TILES / '2_Ortho_RGB' / 'top_potsdam_2_14_RGB.tif')
    parser.add_argument('--aux', default=TILES / '1_DSM' / 'dsm_potsdam_02_14.tif')
    parser.add_argument('--out', type=Path, default=RUN / 'from_python.tif')
    return parser.parse_args()


def describe(prediction: Prediction) -> None:
    """Print each class's share, and how sure the model is where it says so."""
    print(f'{"class":<20}{"pixels":>10}{"mean confidence":>18}')
    for index, name in enumerate(prediction.classes):
        found = prediction.labels == index
        sure = f'{prediction.confidence[found].mean():.2f}' if found.any() else '-'
        print(f'{name:<20}{found.mean():>10.1%}{sure:>18}')


def draw(path: Path, rgb: np.ndarray, aux: np.ndarray, prediction: Prediction) -> None:
    """Draw the two images, the labels and the confidence side by side."""
    figure = Figure(figsize=(13, 12.8), layout='constrained')
    axes = figure.subplots(2, 2).ravel()
    axes[0].imshow(stretch(rgb))
    axes[1].imshow(hillshade(aux))
    axes[2].imshow(colourise(prediction.labels, prediction.palette), interpolation='nearest')
    shown = axes[3].imshow(prediction.confidence, cmap='viridis', vmin=0, vmax=1)
    for axis, title in zip(axes, ('optical', 'heights', 'prediction', 'confidence'), strict=True):
        axis.set_title(title, fontsize=15)
        axis.set(xticks=[], yticks=[])  # the frame stays: a white class ends there
    figure.colorbar(shown, ax=axes[3], shrink=0.8)
    legend = [
        Patch(facecolor=np.divide(colour, 255), edgecolor='grey', label=name)
        for name, colour in zip(prediction.classes, prediction.palette, strict=True)
    ]
    figure.legend(handles=legend, loc='outside lower center', ncols=6, fontsize=12)
    figure.savefig(path, dpi=80)


def main() -> None:
    """Go through the ways to predict, one by one."""
    args = parse_args()
    for path in (args.checkpoint, args.rgb, args.aux):
        if not Path(path).is_file():
            sys.exit(
                f'{path} does not exist: run `mobanet demo` here first, or give files of your own.'
            )

    # 1. Load the model once. The config says which bands it reads and how it slides over an image;
    #    tta='d4', blend='gaussian', stride=(64, 64), modality='rgb', device='cuda:0' override that.
    inferencer = MultimodalInferencer(args.config, args.checkpoint)

    # 2. Give it files, or rasterio datasets that are open. Their grids may differ: the heights of a
    #    file are warped onto its image. Labels, probabilities and confidence come as arrays.
    prediction = inferencer(args.rgb, args.aux, probabilities=True, confidence=True)
    print(f'{prediction.labels.shape} pixels in {prediction.crs}, {prediction.transform[:6]}')
    describe(prediction)
    probability = prediction.probabilities[1]  # (H, W) of the second class, 0 to 1
    print(f'{prediction.classes[1]} is likely on {np.mean(probability > 0.5):.1%} of the pixels')

    # 3. Or give it arrays of one grid: an image (H, W, 3) as in the training, here 0 to 255, and
    #    heights (H, W). Heights in metres are scaled as in the training, or by the range that
    #    aux_range=(low, high) says. These here are scaled already: they are what the model saw.
    with inferencer.open_pair(args.rgb, args.aux) as pair:
        stack, _ = pair.read()  # (channels, H, W), optical first
    num_optical = len(inferencer.spec.img_bands)
    rgb, aux = np.moveaxis(stack[:num_optical], 0, -1), np.moveaxis(stack[num_optical:], 0, -1)
    again = inferencer(rgb, aux, aux_range=None)
    print(f'arrays and files agree on {np.mean(again.labels == prediction.labels):.1%}')

    # 4. Files of any size go straight into GeoTIFFs: only a strip of them is held in memory.
    inferencer.predict_file(args.rgb, args.aux, args.out, probabilities=True, confidence=True)
    print(args.out)

    # 5. Draw.
    picture = args.out.with_suffix('.png')
    draw(picture, rgb, aux[..., 0], prediction)
    print(picture)


if __name__ == '__main__':
    main()
