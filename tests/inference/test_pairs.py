import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from mobanet_mmseg.inference.pairs import Pair, find_pairs, read_pairs
from mobanet_mmseg.rasters.files import gdal_name


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def pair(rgb, aux, out):
    return Pair(Path(rgb), None if aux is None else Path(aux), Path(out))


def write_csv(text, encoding='utf-8'):
    Path('lists').mkdir(exist_ok=True)
    Path('lists/pairs.csv').write_text(text, encoding=encoding)
    return 'lists/pairs.csv'


def test_file_and_file_give_a_file(here):
    touch('a.png', 'b.img')
    assert find_pairs('a.png', 'b.img', 'new/map.tif') == [pair('a.png', 'b.img', 'new/map.tif')]
    assert find_pairs('a.png', None, 'map.tiff') == [pair('a.png', None, 'map.tiff')]


def test_file_goes_into_a_folder_under_its_stem(here):
    touch('a.v2.png', 'b.img', 'there/x')
    assert find_pairs('a.v2.png', 'b.img', 'there') == [pair('a.v2.png', 'b.img', 'there/a.v2.tif')]
    assert find_pairs('a.v2.png', 'b.img', 'new/') == [pair('a.v2.png', 'b.img', 'new/a.v2.tif')]


def test_folders_are_paired_by_equal_stem_in_the_order_of_names(here):
    touch('rgb/b.TIF', 'rgb/a.jp2', 'rgb/c.png', 'rgb/c.tfw', 'rgb/._a.tif', 'rgb/sub.tif/x')
    touch('dsm/c.vrt', 'dsm/a.tif', 'dsm/b.Img', 'dsm/alone.tif', 'dsm/b.tif.aux.xml')
    assert find_pairs('rgb', 'dsm', 'out') == [
        pair('rgb/a.jp2', 'dsm/a.tif', 'out/a.tif'),
        pair('rgb/b.TIF', 'dsm/b.Img', 'out/b.tif'),
        pair('rgb/c.png', 'dsm/c.vrt', 'out/c.tif'),
    ]


def test_stems_of_folders_are_compared_as_they_are(here):
    touch('rgb/1.tif', 'rgb/01.tif', 'dsm/1.tif', 'dsm/01.tif')
    assert find_pairs('rgb/', 'dsm/', 'out') == [
        pair('rgb/01.tif', 'dsm/01.tif', 'out/01.tif'),
        pair('rgb/1.tif', 'dsm/1.tif', 'out/1.tif'),
    ]


def test_globs_are_paired_by_what_the_star_stands_for_without_leading_zeros(here):
    touch('2_Ortho/top_potsdam_2_10_RGB.tif', '2_Ortho/top_potsdam_2_1_RGB.tif')
    touch('2_Ortho/top_potsdam_2_10_IRRG.tif', '2_Ortho/top_potsdam_2_10_RGB.tfw')
    touch('1_DSM/dsm_potsdam_02_10.tif', '1_DSM/dsm_potsdam_02_01.tif', '1_DSM/dsm_potsdam_7_7.tif')
    found = find_pairs('2_Ortho/top_potsdam_*_RGB.tif', '1_DSM/dsm_potsdam_*.tif', 'out')
    top, dsm = '2_Ortho/top_potsdam_', '1_DSM/dsm_potsdam_'
    assert found == [
        pair(f'{top}2_10_RGB.tif', f'{dsm}02_10.tif', 'out/top_potsdam_2_10_RGB.tif'),
        pair(f'{top}2_1_RGB.tif', f'{dsm}02_01.tif', 'out/top_potsdam_2_1_RGB.tif'),
    ]


@pytest.mark.parametrize(
    ('rgb', 'aux'),
    [
        ('city/*/rgb_*.tif', 'city/*/dsm_*.tif'),
        ('./city/*/rgb_?.tif', 'city/*/dsm_0[0-9].tif'),
        ('city/**/rgb_*.tif', 'city/**/dsm_*.tif'),
        ('city//n*/rgb_[!x].*', 'city/n*/dsm_*.*'),
    ],
)
def test_each_wildcard_counts(here, rgb, aux):
    touch('city/n1/rgb_1.tif', 'city/n2/rgb_1.tif', 'city/n1/dsm_01.tif', 'city/n2/dsm_01.tif')
    touch('city/n1/rgb_1.tfw', 'city/n1/rgb_x.txt')
    with pytest.raises(ValueError, match='n1/rgb_1.tif and city/n2/rgb_1.tif would both be writt'):
        find_pairs(rgb, aux, 'out')  # paired well, but of one name
    Path('city/n2/rgb_1.tif').rename('city/n2/rgb_2.tif')
    Path('city/n2/dsm_01.tif').rename('city/n2/dsm_02.tif')
    assert find_pairs(rgb, aux, 'out') == [
        pair('city/n1/rgb_1.tif', 'city/n1/dsm_01.tif', 'out/rgb_1.tif'),
        pair('city/n2/rgb_2.tif', 'city/n2/dsm_02.tif', 'out/rgb_2.tif'),
    ]


def test_two_stars_at_the_end_find_folders_in_folders(here):
    touch('rgb/a/1.tif', 'dsm/a/01.tif')
    assert find_pairs('rgb/**', 'dsm/**', 'o') == [pair('rgb/a/1.tif', 'dsm/a/01.tif', 'o/1.tif')]


def test_folder_and_glob_are_paired_by_stem_and_star(here):
    touch('rgb/7.tif', 'dsm/dsm_07.tif', 'dsm/other_07.tif')
    assert find_pairs('rgb', 'dsm/dsm_*.tif', 'o') == [
        pair('rgb/7.tif', 'dsm/dsm_07.tif', 'o/7.tif')
    ]


def test_without_auxiliary_rasters_each_optical_one_stands_alone(here):
    touch('rgb/b.tif', 'rgb/a.tif')
    expected = [pair('rgb/a.tif', None, 'o/a.tif'), pair('rgb/b.tif', None, 'o/b.tif')]
    assert find_pairs('rgb', None, 'o') == find_pairs('rgb/*', None, 'o') == expected


def test_name_with_brackets_is_a_file_where_there_is_one(here):
    touch('a[1].tif')
    assert find_pairs('a[1].tif', None, 'o.tif') == [pair('a[1].tif', None, 'o.tif')]


@pytest.mark.parametrize('name', ['a[1]', 'a*', 'a?b', '[!x]', 'b [2024] {c}'])
def test_folder_with_wildcards_in_its_name_is_a_folder(here, name):
    touch(f'{name}/rgb_1.tif', f'{name}/dsm_01.tif', 'a1/rgb_2.tif', 'a1/dsm_2.tif')
    expected = [pair(f'{name}/rgb_1.tif', f'{name}/dsm_01.tif', 'o/rgb_1.tif')]
    assert find_pairs(f'{name}/rgb_*.tif', f'{name}/dsm_*.tif', 'o') == expected
    Path(name, 'dsm_01.tif').unlink()
    assert find_pairs(name, None, 'o') == [pair(f'{name}/rgb_1.tif', None, 'o/rgb_1.tif')]
    absolute = here / name / 'rgb_*.tif'
    assert find_pairs(str(absolute), None, 'o')[0].rgb == here / name / 'rgb_1.tif'


def test_brackets_that_stand_for_no_character_are_brackets(here):
    touch('x/a[1]/t[2]_7.tif', 'x/a[1]/t[2]_8.tif', 'x/a[1]/u.tif')
    assert [Path(each.rgb).name for each in find_pairs('*/a[1]/t[2]_*.tif', None, 'o')] == [
        't[2]_7.tif',
        't[2]_8.tif',
    ]


def test_brackets_and_sets_of_characters_stand_in_one_pattern(here):
    touch('rgb/t[1]_1.tif', 'rgb/t[1]_2.tif', 'rgb/t[1]_3.tif', 'dsm/d[1]_01.tif', 'dsm/d[1]_2.tif')
    assert find_pairs('rgb/t[1]_[12].tif', 'dsm/d[1]_*.tif', 'out[1]') == [
        pair('rgb/t[1]_1.tif', 'dsm/d[1]_01.tif', 'out[1]/t[1]_1.tif'),
        pair('rgb/t[1]_2.tif', 'dsm/d[1]_2.tif', 'out[1]/t[1]_2.tif'),
    ]


def test_each_file_with_brackets_is_paired_and_written_by_its_name(here):
    touch('rgb/tile[1].tif', 'dsm/tile[1].tif')
    expected = [pair('rgb/tile[1].tif', 'dsm/tile[1].tif', 'o/tile[1].tif')]
    for rgb, dsm, out in (
        ('rgb/tile[1].tif', 'dsm/tile[1].tif', 'o/tile[1].tif'),
        ('rgb/tile[1].tif', 'dsm/tile[1].tif', 'o/'),
        ('rgb/tile[*].tif', 'dsm/tile[*].tif', 'o'),
    ):
        assert find_pairs(rgb, dsm, out) == expected


@pytest.mark.parametrize(
    ('out', 'sentence'),
    [
        ('', '--out is empty'),
        ('maps/*.tif', 'has a wildcard, which stands for nothing where files are written'),
        ('a.tif/map.tif', 'a.tif is a file, so that a.tif/map.tif cannot be written into it'),
        ('map.png', 'is to be a GeoTIFF'),
    ],
)
def test_an_output_path_that_is_a_mistake_is_told(here, out, sentence):
    touch('a.tif')
    with pytest.raises(ValueError, match=re.escape(sentence)):
        find_pairs('a.tif', None, out)


@pytest.fixture
def archives(here):
    """A zip and a tar, each with three files in a folder and one at the top, and a zip of one."""
    names = ['in/rgb_1.tif', 'in/rgb_2.tif', 'in/.rgb_3.tif', 'in/note.txt', 'top.tif']
    touch(*names, 'dsm/dsm_01.tif', 'dsm/dsm_02.tif')
    with zipfile.ZipFile('a.zip', 'w') as archive:
        for name in names:
            archive.write(name)
    with tarfile.open('a.tar', 'w') as archive:
        for name in names:
            archive.add(name)
    with zipfile.ZipFile('one.zip', 'w') as archive:
        archive.write('top.tif')
    return here


ARCHIVED = ['/vsizip/a.zip/in/{}', 'zip://a.zip!in/{}', '/vsitar/a.tar/in/{}', 'tar://a.tar!in/{}']


@pytest.mark.parametrize('name', [*ARCHIVED, '/vsizip/{here}/a.zip/in/{}'])
def test_rasters_are_found_in_archives(archives, name):
    def named(inside):
        return name.replace('{here}', str(archives)).replace('{}', inside)

    def found(rgb, aux=None):
        return [
            (gdal_name(each.rgb), each.aux and str(each.aux), str(each.out))
            for each in find_pairs(rgb, aux, 'o/')
        ]

    one, two = (gdal_name(named(f'rgb_{number}.tif')) for number in (1, 2))
    assert found(named('rgb_1.tif')) == [(one, None, 'o/rgb_1.tif')]
    both = [(one, None, 'o/rgb_1.tif'), (two, None, 'o/rgb_2.tif')]
    assert found(named('')) == found(named('rgb_?.tif')) == both
    paired = [(one, 'dsm/dsm_01.tif', 'o/rgb_1.tif'), (two, 'dsm/dsm_02.tif', 'o/rgb_2.tif')]
    assert found(named('rgb_*.tif'), 'dsm/dsm_*.tif') == paired


def test_archives_themselves_are_folders_or_their_one_raster(archives):
    assert [each.out.name for each in find_pairs('/vsizip/a.zip', None, 'o')] == ['top.tif']
    assert find_pairs('/vsizip/one.zip', None, 'o.tif')[0].rgb == '/vsizip/one.zip'
    zips = [each.rgb for each in find_pairs('/vsizip/one*.zip/*.tif', None, 'o')]
    assert zips == ['/vsizip/one.zip/top.tif']


def test_addresses_stay_as_they_are(here):
    address = '/vsicurl/https://127.0.0.1/a/b.tif'
    assert find_pairs(address, None, 'o/') == [Pair(address, None, Path('o/b.tif'))]


def test_archives_of_a_csv_lie_beside_it(here):
    lines = 'zip://a.zip!b.tif,/vsizip/c.zip/d.tif', f'/vsizip/{here}/e.zip/f.tif,/vsicurl/http://g'
    pairs = read_pairs(write_csv('rgb,aux\n' + '\n'.join(lines)), 'o')
    assert pairs == [
        Pair('/vsizip/lists/a.zip/b.tif', '/vsizip/lists/c.zip/d.tif', Path('o/b.tif')),
        Pair(f'/vsizip/{here}/e.zip/f.tif', '/vsicurl/http://g', Path('o/f.tif')),
    ]


def test_what_is_no_archive_is_named(here):
    touch('a.zip', 'b.tif')
    with pytest.raises(ValueError, match=r'a\.zip cannot be read as an archive'):
        find_pairs('/vsizip/a.zip/in', None, 'o')


MISTAKES = {
    'missing file': (('no.tif', 'a.tif', 'o.tif'), 'no.tif does not exist: give a file, a folder'),
    'missing folder': (('nowhere', 'dsm', 'o'), 'nowhere does not exist'),
    'missing auxiliary file': (('a.tif', 'no.tif', 'o.tif'), 'no.tif does not exist'),
    'empty folder': (('empty', 'dsm', 'o'), r'empty holds no raster \(\.tif .*check the folder'),
    'nothing matches': (('rgb/x*.tif', 'dsm', 'o'), r'rgb/x\*\.tif holds no raster'),
    'file and folder': (('a.tif', 'dsm', 'o.tif'), 'a.tif and dsm are one file and several'),
    'rgb without aux': (
        ('rgb', 'few', 'o'),
        r'4 of 5 optical rasters have no auxiliary one in few: rgb/2.tif, rgb/3.tif, rgb/4.tif, '
        'rgb/5.tif; add'),
    'two aux of one stem': (
        ('rgb', 'twice', 'o'), 'twice/1.png and twice/1.tif both stand for 1 in twice'),
    'two aux of one number': (
        ('rgb/*', 'zeros/*.tif', 'o'), 'zeros/01.tif and zeros/1.tif both stand for 1'),
    'numbers of wildcards': (
        ('rgb/*.tif', 'dsm/*_*.tif', 'o'), r'has 1 wildcards and dsm/\*_\*\.tif 2: give the same'),
    'out is a file': (('rgb', 'dsm', 'a.tif'), 'a.tif is a file where the folder of the label'),
    'out looks like a file': (('rgb', 'dsm', 'new.tif'), 'new.tif is a file where the folder'),
    'out is a file with a slash': (('a.tif', 'b.tif', 'b.tif/'), 'b.tif/ is a file where the fol'),
    'out is no GeoTIFF': (('a.tif', 'b.tif', 'o.png'), 'o.png is to be a GeoTIFF: give a name'),
}  # fmt: skip


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_gets_its_sentence(here, name):
    touch('a.tif', 'b.tif', 'empty/a.txt', 'few/1.tif', 'twice/1.tif', 'twice/1.png', 'dsm/a_1.tif')
    touch(*(f'{folder}/{number}.tif' for folder in ('rgb', 'dsm') for number in range(1, 6)))
    touch('zeros/1.tif', 'zeros/01.tif')
    arguments, said = MISTAKES[name]
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        find_pairs(*arguments)
    assert '\n' not in str(error.value)


def test_csv_gives_paths_relative_to_its_folder_in_its_order(here):
    touch('lists/b.tif', 'rgb/a, b.tif', 'dsm/a.tif', 'dsm/ü.tif')
    path = write_csv(
        'rgb, aux ,out\nb.tif,../dsm/ü.tif,new/x.tif\n\n"../rgb/a, b.tif", ../dsm/a.tif, y.tif\n'
    )
    assert read_pairs(path) == [
        pair('lists/b.tif', 'lists/../dsm/ü.tif', 'lists/new/x.tif'),
        pair('lists/../rgb/a, b.tif', 'lists/../dsm/a.tif', 'lists/y.tif'),
    ]


def test_csv_without_aux_and_out_takes_the_folder(here):
    touch('lists/b.tif', 'lists/a.tif')
    expected = [pair('lists/b.tif', None, 'o/b.tif'), pair('lists/a.tif', None, 'o/a.tif')]
    assert read_pairs(write_csv('rgb\nb.tif\na.tif\n'), 'o') == expected
    # a spreadsheet's mark at the start is no part of the name; absolute paths stay
    text = f'rgb\r\n{here / "lists/b.tif"}\r\n'
    assert read_pairs(write_csv(text, 'utf-8-sig'), 'o')[0].rgb == here / 'lists/b.tif'


def test_one_aux_may_serve_several_rgbs_in_a_csv(here):
    touch('lists/b.tif', 'lists/a.tif', 'lists/city.tif')
    pairs = read_pairs(write_csv('aux,rgb\ncity.tif,b.tif\ncity.tif,a.tif\n'), 'o')
    assert [found.aux for found in pairs] == [Path('lists/city.tif')] * 2


def test_an_empty_aux_of_a_csv_is_none(here):
    touch('lists/b.tif', 'lists/a.tif', 'lists/dsm.tif')
    lines = 'b.tif,,x.tif', 'a.tif, dsm.tif,y.tif', 'a.tif,  ,z.tif'
    pairs = read_pairs(write_csv('\n'.join(['rgb,aux,out', *lines])))
    assert pairs == [
        pair('lists/b.tif', None, 'lists/x.tif'),
        pair('lists/a.tif', 'lists/dsm.tif', 'lists/y.tif'),
        pair('lists/a.tif', None, 'lists/z.tif'),
    ]


CSV_MISTAKES = {
    'no column rgb': ('aux,out\na.tif,b.tif\n', r"has the columns \['aux', 'out'\]"),
    'semicolons': ('rgb;aux\na.tif;b.tif\n', r"\['rgb;aux'\] .* separated by commas"),
    'another column': ('rgb,dsm\na.tif,b.tif\n', r"has the columns \['rgb', 'dsm'\]"),
    'a column twice': ('rgb,aux,aux\na.tif,b.tif,b.tif\n', 'has the columns'),
    'no header': ('a.tif,b.tif\n', 'has the columns'),
    'nothing': ('', r'has the columns \[\]'),
    'no line': ('rgb,aux\n', 'has no line below its header'),
    'empty cell': ('rgb,aux\na.tif,b.tif\n,b.tif\n', r"Line 3 .* holds \['', 'b.tif'\]: fill each"),
    'empty out': ('rgb,aux,out\na.tif,b.tif,\n', r"\['a.tif', 'b.tif', ''\]: fill each"),
    'blank cell': ('rgb,aux\n  ,b.tif\n', 'Line 2 '),
    'cell missing': ('rgb,aux\na.tif\n', 'Line 2 .* 2 columns to fill and holds'),
    'cell too many': ('rgb,aux\na.tif,b.tif,c.tif\n', r"\['a.tif', 'b.tif', 'c.tif'\]"),
    'open quote': ('rgb,aux\n"a.tif,b.tif\n', 'cannot be read as a CSV .* save it as UTF-8'),
    'missing rgb': ('rgb\na.tif\nc.tif\n', 'lists/c.tif does not exist, which line 3 of lists/pai'),
    'missing aux': ('rgb,aux\na.tif,c.tif\n', 'lists/c.tif does not exist, which line 2'),
    'two of one name': ('rgb\na.tif\nsub/a.tif\n', 'lists/a.tif and lists/sub/a.tif would both be'),
    'out twice said': ('rgb,out\na.tif,c.tif\n', 'has a column out and o folder is given'),
}


@pytest.mark.parametrize('name', CSV_MISTAKES)
def test_mistake_in_a_csv_gets_its_sentence(here, name):
    touch('lists/a.tif', 'lists/b.tif', 'lists/sub/a.tif')
    text, said = CSV_MISTAKES[name]
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        read_pairs(write_csv(text), 'o')
    assert '\n' not in str(error.value)


def test_other_mistakes_with_a_csv_get_their_sentence(here):
    touch('lists/ä.tif', 'lists/b.tif', 'file')
    with pytest.raises(ValueError, match='cannot be read as a CSV .*utf-8'):
        read_pairs(write_csv('rgb\nä.tif\n', 'latin-1'), 'o')
    with pytest.raises(FileNotFoundError, match=r'none\.csv does not exist: give the CSV'):
        read_pairs('none.csv', 'o')
    with pytest.raises(ValueError, match='has no column out and no folder is given'):
        read_pairs(write_csv('rgb\nb.tif\n'))
    with pytest.raises(ValueError, match='file is a file where the folder'):
        read_pairs(write_csv('rgb\nb.tif\n'), 'file')
