"""Train, measure and picture a small MoBaNet on a synthetic city, with the commands users type.

`make demo` runs it. It writes data/synthetic and work_dirs/demo*, and ends with the metrics of the
model that gets both modalities beside those of the same model and schedule given RGB alone.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
DATA = Path('data/synthetic')
RUNS = {'RGB + DSM': 'demo', 'RGB alone': 'demo_rgb'}
LEAST_MIOU = 60
LEAST_GAIN = 10  # points over RGB alone


def run(command: str) -> None:
    """Show a command and run it in the repository's root."""
    print(f'\n$ python {command}', flush=True)
    subprocess.run([sys.executable, *command.split()], cwd=ROOT, check=True)


def train_and_test(name: str) -> dict[str, float]:
    """Train a demo config and measure it on the test tiles."""
    config, work_dir = f'configs/mobanet/{name}.py', f'work_dirs/{name}'
    run(f'tools/train.py {config} --work-dir {work_dir}')
    run(f'tools/test.py {config} {work_dir}/epoch_1.pth --work-dir {work_dir}/test')
    newest = max((ROOT / work_dir / 'test').glob('*/*.json'), key=lambda p: p.stat().st_mtime)
    return json.loads(newest.read_text())


def main() -> None:
    """Run the demo; exit with an error if the model did not learn from both modalities."""
    begin = time.monotonic()
    run(f'tools/make_synthetic_isprs.py {DATA} --size 1024 --gsd 0.15 --train 8 --test 2')
    metrics = {label: train_and_test(name) for label, name in RUNS.items()}
    run(
        'tools/predict.py configs/mobanet/demo.py work_dirs/demo/epoch_1.pth '
        f'--rgb {DATA}/2_Ortho_RGB/top_potsdam_2_13_RGB.tif '
        f'--aux {DATA}/1_DSM/dsm_potsdam_02_13.tif '
        f'--label {DATA}/5_Labels_all/top_potsdam_2_13_label.tif '
        '--out work_dirs/demo/prediction.tif --picture work_dirs/demo/prediction.png'
    )
    table = Table('trained on', 'OA', 'mF1', 'mIoU (5 classes)', 'mIoU (6 classes)')
    for label, found in metrics.items():
        table.add_row(label, *(f'{found[key]:.2f}' for key in ('OA', 'mF1', 'mIoU', 'mIoU_all')))
    Console().print(table)
    gains = [metrics['RGB + DSM'][key] - metrics['RGB alone'][key] for key in ('mIoU', 'mIoU_all')]
    print(f'The DSM brings {gains[0]:.1f} points of mIoU over 5 classes, {gains[1]:.1f} over 6.')
    print(f'Took {time.monotonic() - begin:.0f} s.')
    print('Label map: work_dirs/demo/prediction.tif\nPicture:   work_dirs/demo/prediction.png')
    if min(metrics['RGB + DSM']['mIoU'], metrics['RGB + DSM']['mIoU_all']) < LEAST_MIOU:
        sys.exit(f'The demo should reach an mIoU of {LEAST_MIOU}.')
    if min(gains) < LEAST_GAIN:
        sys.exit(f'The DSM should bring at least {LEAST_GAIN} points of mIoU.')


if __name__ == '__main__':
    main()
