"""The table of models says what the metafiles say."""

import re

import pytest
import yaml
from scenes.paths import ROOT

PAGE = (ROOT / 'docs' / 'model_zoo.md').read_text()
METAFILES = sorted(ROOT.glob('configs/*/metafile.yml'))


def rows() -> dict[str, dict[str, str]]:
    """Each row's cells by their columns, by the config that it links."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if line.startswith('| config'):
            columns = cells
        elif link := re.match(r'\| \[\w.*?\]\(\.\./(configs/\S+\.py)\) \|', line):
            assert link[1] not in found, link[1]
            found[link[1]] = dict(zip(columns, cells, strict=True))
    return found


@pytest.mark.parametrize('path', METAFILES, ids=lambda path: path.parent.name)
def test_each_model_of_a_metafile_is_a_row(path):
    table = rows()
    for model in yaml.safe_load(path.read_text())['Models']:
        row, meta = table[model['Config']], model['Metadata']
        assert row['trainable (M)'] == f'{meta["Trainable Parameters"] / 1e6:.2f}', model
        assert row['all (M)'] == f'{meta["Parameters"] / 1e6:.2f}', model
        assert row['Lr schd'] == f'{meta["Epochs"]} epochs, batch {meta["Batch Size"]}', model
        assert row['Data'] == meta.get('Training Data', 'your own').replace('ISPRS ', ''), model
        assert (row['mIoU'] == 'not trained yet') == ('Results' not in model), model


def test_each_row_is_a_model():
    models = [m for path in METAFILES for m in yaml.safe_load(path.read_text())['Models']]
    assert set(rows()) == {model['Config'] for model in models}
