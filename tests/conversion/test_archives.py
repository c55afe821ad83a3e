import zipfile

import pytest
from scenes.archives import zip_folder

from mobanet_mmseg.conversion.archives import find_members

CONTENT = {'a.tif': b'one' * 999, 'a.tfw': b'0.09', 'b.tif': b'two' * 999, 'c.tif': b'three'}


def pack(folder, compression=zipfile.ZIP_DEFLATED):
    """A folder with a zip, which holds a.tif and a zip that holds b.tif and one without a tif."""
    inner = folder / 'inner' / 'deep'
    inner.mkdir(parents=True)
    for name in ('a.tif', 'a.tfw'):
        (folder / name).write_bytes(CONTENT[name])
    (inner / 'b.tif').write_bytes(CONTENT['b.tif'])
    (folder / 'empty').mkdir()
    (folder / 'empty' / 'readme.txt').write_text('nothing')
    path = folder / 'in' / 'outer.zip'
    path.parent.mkdir()
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as outer:
        outer.write(folder / 'a.tif', 'x/A.tif')
        outer.write(folder / 'a.tfw', 'x/A.tfw')
        for name in ('inner', 'empty'):
            outer.write(
                zip_folder(folder / name, folder / f'{name}.zip'), f'{name}.zip', compression
            )
    (folder / 'in' / 'c.tif').write_bytes(CONTENT['c.tif'])
    return path


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / 'scratch').mkdir()
    return tmp_path / 'scratch'


def failing(source, scratch):
    """The sentence with which a source ends that is searched, and whose files are unpacked."""
    with (
        pytest.raises((ValueError, OSError)) as error,
        find_members(source, scratch, {'a.tif', 'b.tif'}) as members,
    ):
        for member in members:
            with member.on_disk(scratch):
                pass
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('compression', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_are_found_in_folders_and_zips_in_zips(tmp_path, scratch, compression):
    outer = pack(tmp_path / 'data', compression)
    with find_members(outer.parent, scratch, {*CONTENT}) as members:
        found = {member.name: member for member in members}
        assert {name: member.folders for name, member in found.items()} == {
            'c.tif': ('in',),
            'A.tif': ('x', 'outer', 'in'),
            'A.tfw': ('x', 'outer', 'in'),
            'b.tif': ('deep', 'inner', 'outer', 'in'),
        }
        assert found['b.tif'].place == f'{outer}/inner.zip/deep/b.tif'
        for name, member in found.items():
            with member.on_disk(scratch) as path:
                assert path.read_bytes() == CONTENT[name.lower()]
                # what says where a raster lies comes with it
                assert path.with_suffix('.tfw').is_file() == (name[0] == 'A')
        # of what was unpacked, the zip that holds something stays for as long as it is needed
        assert len(list(scratch.iterdir())) == (compression == zipfile.ZIP_DEFLATED)


def test_zips_that_are_not_wanted_are_not_looked_into(tmp_path, scratch):
    outer = pack(tmp_path / 'data')
    (outer.parent / 'Broken.zip').write_bytes(b'no zip')
    with find_members(outer.parent, scratch, {*CONTENT}, {'inner', 'broken'}) as members:
        assert [member.name for member in members] == ['c.tif', 'A.tfw', 'A.tif']


def test_a_link_to_a_folder_above_ends(tmp_path, scratch):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'a.tif').write_bytes(b'')
    (tmp_path / 'data' / 'loop').symlink_to(tmp_path / 'data')
    with find_members(tmp_path / 'data', scratch, {'a.tif'}) as members:
        assert len(members) == 1


def test_what_is_no_zip_is_refused_with_its_place(tmp_path, scratch):
    assert 'none does not exist: give the folder' in failing(tmp_path / 'none', scratch)
    page = tmp_path / 'data' / 'page.zip'
    page.parent.mkdir()
    for content in (b'<html>log in</html>', b''):
        page.write_bytes(content)
        assert f'{page} cannot be read as a zip' in failing(page.parent, scratch)
    cut = pack(tmp_path / 'more')
    cut.write_bytes(cut.read_bytes()[:-50])
    assert f'{cut} cannot be read as a zip' in failing(cut, scratch)


def test_a_damaged_member_is_named_by_its_place_in_the_zip(tmp_path, scratch):
    outer = pack(tmp_path / 'data', zipfile.ZIP_STORED)
    data = bytearray(outer.read_bytes())
    data[data.index(b'deep/b.tif') + len(b'deep/b.tif') + 3] ^= 255
    outer.write_bytes(data)
    assert f'{outer}/inner.zip/deep/b.tif is damaged' in failing(outer, scratch)


def test_an_encrypted_zip_is_one_sentence(tmp_path, scratch):
    outer = pack(tmp_path / 'data')
    data = bytearray(outer.read_bytes())
    with zipfile.ZipFile(outer) as archive:
        at = archive.start_dir
        for info in archive.infolist():
            data[info.header_offset + 6] |= 1
            data[at + 8] |= 1
            at = data.find(b'PK\1\2', at + 4)
    outer.write_bytes(data)
    assert 'unpack the zip by hand' in failing(outer, scratch)
