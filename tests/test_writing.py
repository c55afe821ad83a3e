import os

import pytest
from scenes.limits import no_root, short_disk

from mobanet_mmseg.writing import (
    check_outputs,
    decode,
    hidden_part,
    reporting,
    whole_file,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_at_the_end_and_its_folders_are_made(tmp_path):
    path = tmp_path / 'a' / 'b' / 'out.txt'
    with whole_file(path) as part:
        part.write_text('new')
        assert not path.exists() and names(path.parent) == [part.name]
        assert part.name.startswith('.out.txt.') and part.name.endswith('.part')
    assert path.read_text() == 'new' and names(path.parent) == ['out.txt']


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / 'out.txt', 'old')
    with pytest.raises(KeyError), whole_file(tmp_path / 'out.txt') as part:
        part.write_text('new')
        part.with_name(f'{part.name}.ovr.tmp').touch()  # what a library keeps beside it
        raise KeyError
    assert names(tmp_path) == ['out.txt']
    assert (tmp_path / 'out.txt').read_text(encoding='utf-8') == 'old'


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (OSError(28, 'No space left on device', 'x'), '(No space left on device)'),
        (RuntimeError('enforce fail'), '(enforce fail)'),
    ],
)
def test_what_a_library_raises_becomes_the_sentence(tmp_path, error, said):
    with pytest.raises(OSError) as raised, whole_file(tmp_path / 'out', RuntimeError):
        raise error
    assert str(raised.value) == (
        f'{tmp_path}/out could not be written {said}: check the free space and the permissions '
        'there, or choose another place.'
    )


def test_an_error_of_the_block_passes_a_hidden_part_as_it_is(tmp_path):
    with pytest.raises(OSError, match='^damaged$'), hidden_part(tmp_path / 'out') as part:
        part.touch()
        raise OSError('damaged')
    assert names(tmp_path) == []


def test_the_sentence_names_the_inner_file(tmp_path):
    with pytest.raises(OSError) as raised, reporting('outer'), reporting('inner'):
        raise OSError('full')
    assert str(raised.value).startswith('inner could not be written (full)')


def test_a_full_disk_leaves_nothing(tmp_path):
    with short_disk(100), pytest.raises(OSError, match=r'out\.txt could not be .*free space'):
        write_text(tmp_path / 'out.txt', 'x' * 1000)
    assert names(tmp_path) == []


def test_a_folder_in_the_place_is_found_before_and_after_the_writing(tmp_path):
    (tmp_path / 'out').mkdir()
    with pytest.raises(OSError, match=r'out could not be written \(it is a folder\)'):
        write_text(tmp_path / 'out', '')
    with pytest.raises(OSError, match='late could not be'), whole_file(tmp_path / 'late') as part:
        part.touch()
        (tmp_path / 'late').mkdir()
    assert names(tmp_path) == ['late', 'out']


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / 'a').touch()
    with pytest.raises(OSError, match='a/out could not be written'):
        write_text(tmp_path / 'a' / 'out', '')


def test_a_place_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with no_root(), pytest.raises(OSError, match='out could not be written .*[Pp]ermission'):
            write_text(tmp_path / 'out', '')
    finally:
        tmp_path.chmod(0o700)


def test_each_process_has_its_own_hidden_part(tmp_path):
    with whole_file(tmp_path / 'out') as part:
        part.touch()
        assert str(os.getpid()) in part.name


@pytest.mark.parametrize('link', [os.symlink, os.link, None])
def test_an_output_that_is_an_input_is_refused_whatever_it_is_called(tmp_path, link):
    write_text(tmp_path / 'in.tif', 'pixels')
    name = 'in.tif' if link is None else 'out.tif'
    if link is not None:
        link(tmp_path / 'in.tif', tmp_path / name)
    (tmp_path / 'b').mkdir()
    with pytest.raises(ValueError, match=rf'b/\.\./{name} would be written over .*in\.tif, which'):
        check_outputs([None, tmp_path / 'b' / '..' / name], [tmp_path / 'in.tif'])


def test_a_folder_that_holds_an_input_is_no_output(tmp_path):
    write_text(tmp_path / 'out' / 'img' / 'in.tif', 'pixels')
    (tmp_path / 'link').symlink_to(tmp_path / 'out' / 'img')
    for path in (tmp_path / 'out' / 'img' / 'in.tif', tmp_path / 'link' / 'in.tif'):
        with pytest.raises(ValueError, match=r'in\.tif lies in .*out, which is written'):
            check_outputs([tmp_path / 'out'], [path])


def test_new_files_beside_the_inputs_and_inputs_that_are_missing_are_fine(tmp_path):
    write_text(tmp_path / 'in.tif', 'pixels')
    write_text(tmp_path / 'old.tif', 'pixels')
    inputs = [tmp_path / 'in.tif', tmp_path / 'missing.tif', '/vsizip/a.zip/a.tif']
    check_outputs([tmp_path / 'new.tif', tmp_path / 'old.tif', tmp_path / 'folder'], inputs)


def test_byte_order_marks_go_and_other_texts_are_refused():
    for code in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le'):
        mark = '\ufeff' if code == 'utf-16-le' else ''
        assert decode(f'{mark}Stra\u00dfe\n'.encode(code)) == 'Stra\u00dfe\n'
    with pytest.raises(UnicodeDecodeError):
        decode('Stra\u00dfe'.encode('latin-1'))


@pytest.mark.parametrize('path', ['/vsizip/a.zip/b.txt', 'zip://a.zip!b.txt', 's3://bucket/b.txt'])
def test_what_is_on_no_disk_is_not_written(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r'could not be written \(what is written goes to a disk\)'):
        write_text(path, 'text')
    assert names(tmp_path) == []
