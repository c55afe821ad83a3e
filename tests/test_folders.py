import json
import os
import signal
import subprocess
import sys
import time

import pytest
from scenes.limits import no_root
from scenes.paths import ROOT

from mobanet_mmseg.folders import Ledger, check_folder, kept_folder, locked, whole_folder
from mobanet_mmseg.writing import write_text

TOOL = 'tool.py'


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob('*')
        if path.is_file() and path.name != 'conversion.json'
    }


def write(out, files, **options):
    with whole_folder(out, TOOL, **options) as folder:
        for name, text in files.items():
            write_text(folder / name, text)


@pytest.fixture
def out(tmp_path):
    """An earlier conversion."""
    write(tmp_path / 'out', {'img/a.tif': 'pixels', 'train.txt': 'a'})
    return tmp_path / 'out'


def test_a_folder_gets_its_name_at_the_end_and_replaces_the_old_one(tmp_path):
    out = tmp_path / 'a' / 'out'
    for name in ('old', 'new'):
        with whole_folder(out, TOOL, overwrite=True) as folder:
            (folder / name).touch()
            assert folder.parent == out.parent and folder.name == '.out.part'
        assert names(out) == ['conversion.json', name] and names(out.parent) == ['out']
    mark = json.loads((out / 'conversion.json').read_text())
    assert mark == {'tool': TOOL, 'files': {'new': [0, 0]}}


def test_an_error_leaves_the_old_folder(tmp_path, out):
    before = content(out)
    with pytest.raises(KeyError), whole_folder(out, TOOL, overwrite=True) as folder:
        (folder / 'new').touch()
        raise KeyError
    assert names(tmp_path) == ['out'] and content(out) == before


def test_a_folder_in_a_place_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with (
            no_root(),
            pytest.raises(OSError, match='out could not be written .*[Pp]ermission'),
            whole_folder(tmp_path / 'out', TOOL),
        ):
            pytest.fail('the folder was made')
    finally:
        tmp_path.chmod(0o700)


def forget(out):
    (out / 'conversion.json').unlink()


def by_another_tool(out):
    mark = json.loads((out / 'conversion.json').read_text())
    (out / 'conversion.json').write_text(json.dumps({**mark, 'tool': 'other.py'}))


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (forget, 'holds no earlier conversion of tool.py to overwrite'),
        (by_another_tool, 'holds no earlier conversion of tool.py to overwrite'),
        (lambda out: (out / 'conversion.json').write_text('[' * 100_000), 'holds no earlier'),
        (lambda out: (out / 'thesis.tex').touch(), r"holds \['thesis.tex'\] besides"),
        (lambda out: (out / 'img/b.tif').touch(), r"holds \['img/b.tif'\] besides"),
        (lambda out: (out / 'img/a.tif').write_text('labels'), r"holds \['img/a.tif'\] besides"),
        (lambda out: (out / 'mine').mkdir(), r"holds \['mine'\] besides"),
        (lambda out: (out / 'b').symlink_to(out.parent), r"holds \['b'\] besides"),
    ],
)
def test_what_the_tool_has_not_written_is_kept(tmp_path, out, change, said):
    change(out)
    before = content(tmp_path)
    with pytest.raises(ValueError, match=said):
        write(out, {'img/a.tif': 'new'}, overwrite=True)
    assert content(tmp_path) == before


def test_notes_of_other_programs_about_a_file_go_with_it(tmp_path, out):
    for name in ('a.tif.aux.xml', 'a.tif.ovr', 'a.tif.ovr.aux.xml', '.DS_Store'):
        (out / 'img' / name).write_text('derived')
    write(out, {'img/b.tif': 'new'}, overwrite=True)
    assert content(tmp_path) == {'out/img/b.tif': 'new'}
    for name in ('a.tif.aux.xml', 'b.tif.msk', 'b.tfw', 'b.qml'):  # of no file, or what adds to one
        (out / 'img' / name).write_text('mine')
        with pytest.raises(ValueError, match=rf"holds \['img/{name}'\] besides"):
            write(out, {'img/b.tif': 'newer'}, overwrite=True)
        (out / 'img' / name).unlink()


def test_what_comes_in_while_the_tool_works_is_kept(tmp_path, out):
    with (
        pytest.raises(ValueError, match=r"holds \['img/mine.txt'\] besides"),
        whole_folder(out, TOOL, overwrite=True),
    ):
        (out / 'img' / 'mine.txt').write_text('precious')
    assert content(tmp_path)['out/img/mine.txt'] == 'precious'


def test_a_folder_is_replaced_on_request_alone_and_the_trainings_statistics_with_it(out):
    with pytest.raises(ValueError, match='is not empty: give --overwrite'):
        write(out, {})
    (out / 'img' / 'aux_statistics.json').touch()
    write(out, {'test.txt': 'b'}, overwrite=True)
    assert content(out) == {'test.txt': 'b'}


def test_new_and_empty_folders_are_accepted_and_a_file_is_not(tmp_path):
    check_folder(tmp_path, TOOL, False)
    check_folder(tmp_path / 'new', TOOL, False)
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match='is a file where a folder'):
        write(tmp_path / 'file', {}, overwrite=True)


def test_somebody_elses_hidden_folder_is_not_emptied(tmp_path):
    for name, said in (('.out.part', 'is in the way'), ('.out.old', 'which no conversion has')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'mine').touch()
        (tmp_path / 'out').mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=said):
            write(tmp_path / 'out', {})
        assert (tmp_path / name / 'mine').exists()
        (tmp_path / name / 'mine').unlink()
        (tmp_path / name).rmdir()


WORK = """
import sys, time
from pathlib import Path
from mobanet_mmseg.folders import {kind}_folder
with {kind}_folder(Path({out!r}), {tool!r}) as held:
    Path({out!r}).with_name('begun').touch()
    time.sleep(60)
"""


@pytest.fixture(params=['whole', 'kept'])
def killed(request, tmp_path):
    """Give how a process that holds the folder is killed."""
    code = WORK.format(kind=request.param, out=str(tmp_path / 'out'), tool=TOOL)
    process = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT)
    while not (tmp_path / 'begun').exists() and process.poll() is None:
        time.sleep(0.01)

    def kill():
        process.send_signal(signal.SIGKILL)
        process.wait()

    kill.folder = {'whole': whole_folder, 'kept': kept_folder}[request.param]
    yield kill
    kill()


def test_a_folder_that_another_process_writes_is_refused_until_that_is_killed(tmp_path, killed):
    with (
        pytest.raises(ValueError, match='out is written by another process at this moment'),
        killed.folder(tmp_path / 'out', TOOL),
    ):
        pytest.fail('two at once')
    killed()
    with killed.folder(tmp_path / 'out', TOOL):
        pass
    assert names(tmp_path) == ['begun', 'out']


def test_killed_while_it_replaces_a_folder_the_next_run_goes_on(tmp_path, out):
    out.rename(tmp_path / '.out.old')  # the old one is out of the way, the new one not yet there
    with pytest.raises(KeyError), whole_folder(out, TOOL, overwrite=True):
        raise KeyError
    assert content(tmp_path) == {'out/img/a.tif': 'pixels', 'out/train.txt': 'a'}
    write(tmp_path / '.out.old', {'img/a.tif': 'older'})  # the new one is there, the old one still
    (tmp_path / '.out.old' / 'img' / 'a.tif').unlink()
    write(out, {'test.txt': 'b'}, overwrite=True)
    assert content(tmp_path) == {'out/test.txt': 'b'}


def test_a_lock_that_was_given_back_while_it_was_opened_is_taken_anew(tmp_path, monkeypatch):
    flock, calls = __import__('fcntl').flock, []

    def late(file, how):
        flock(file, how)
        if not calls:
            (tmp_path / '.conversion.lock').unlink()  # by the one that held it
        calls.append(how)

    monkeypatch.setattr('fcntl.flock', late)
    with locked(tmp_path, tmp_path):
        assert len(calls) == 2 and names(tmp_path) == ['.conversion.lock']


def test_a_disk_without_locks_is_a_warning(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, 'Function not implemented')

    monkeypatch.setattr('fcntl.flock', no_locks)
    with pytest.warns(UserWarning, match='lies on a disk without locks'):
        write(tmp_path / 'out', {'a': 'b'})
    assert content(tmp_path) == {'out/a': 'b'}


def test_a_kept_folder_goes_on_with_its_own_files_alone(tmp_path):
    out = tmp_path / 'out'
    with kept_folder(out, TOOL) as ledger:
        ledger.expect(['a', 'b'])
        write_text(out / 'a', 'one')
        ledger.add(['a'])
        ledger.facts = {'seed': 3}
        ledger.save()
    with kept_folder(out, TOOL) as ledger:
        assert ledger.facts == {'seed': 3} and ledger.has('a') and not ledger.has('b')
        write_text(out / 'a', 'two')
        (out / 'c').touch()
        for name in 'ac':
            with pytest.raises(ValueError, match=rf"holds \['{name}'\], which tool.py has not"):
                ledger.expect([name])
        ledger.expect(['b', 'd'])
    assert Ledger(out, 'other.py').files == {} and names(out) == ['a', 'c', 'conversion.json']
    with (
        pytest.raises(ValueError, match='holds nothing that other.py'),
        kept_folder(out, 'other.py'),
    ):
        pytest.fail('the folder of another tool was taken')


def test_a_mark_that_names_files_elsewhere_removes_none(tmp_path, out):
    write_text(tmp_path / 'precious', 'mine')
    mark = json.loads((out / 'conversion.json').read_text())
    mark['files']['../precious'] = mark['files']['img/a.tif']
    mark['files'][os.fspath(tmp_path / 'precious')] = mark['files']['img/a.tif']
    (out / 'conversion.json').write_text(json.dumps(mark))
    write(out, {'test.txt': 'b'}, overwrite=True)
    assert content(tmp_path) == {'precious': 'mine', 'out/test.txt': 'b'}
