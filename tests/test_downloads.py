import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from scenes.limits import short_disk

from mobanet_mmseg.downloads import ChecksumError, fetched, kept_path


class Site(BaseHTTPRequestHandler):
    """Gives what a test says, and counts the questions."""

    answers: dict
    asked: list

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        headers, body = self.answers[self.path]
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Give the root's address, what is answered and what was asked."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    handler = type('Handler', (Site,), {'answers': {}, 'asked': []})
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', handler.answers, handler.asked
    server.shutdown()
    thread.join()
    server.server_close()


def length(body, size=None):
    return {'Content-Length': str(len(body) if size is None else size)}, body


def kept(folder):
    return [path.name for path in folder.rglob('*') if path.is_file()]


def test_two_files_of_one_name_are_two_and_each_is_fetched_once(site, tmp_path):
    root, answers, asked = site
    answers |= {'/a/x.bin': length(b'a'), '/b/x.bin': length(b'b'), '/b/x.bin?v=2': length(b'c')}
    for _ in range(2):
        assert [fetched(root + path, Path.read_bytes) for path in answers] == [b'a', b'b', b'c']
    assert asked == list(answers) and kept(tmp_path) == ['x.bin'] * 3


@pytest.mark.parametrize(
    'cut',
    [
        length(b'hal', 4),
        ({'Transfer-Encoding': 'chunked'}, b'4\r\nhal'),
        ({'Transfer-Encoding': 'chunked'}, b'3\r\nhal\r\n'),
    ],
)
def test_what_was_cut_is_not_kept_and_fetched_again(site, tmp_path, cut):
    root, answers, _ = site
    answers['/x.bin'] = cut
    with pytest.raises(OSError, match='the connection (ended|broke) after'):
        fetched(f'{root}/x.bin', Path.read_bytes)
    assert kept(tmp_path) == []
    answers['/x.bin'] = length(b'half')
    assert fetched(f'{root}/x.bin', Path.read_bytes) == b'half'


def test_what_cannot_be_read_is_not_kept(site, tmp_path):
    root, answers, _ = site
    answers['/x.bin'] = {}, b'<html>please log in</html>'  # and no length
    with pytest.raises(ValueError, match='invalid literal'):
        fetched(f'{root}/x.bin', lambda path: int(path.read_text()))
    assert kept(tmp_path) == []
    answers['/x.bin'] = {}, b'12'
    assert fetched(f'{root}/x.bin', lambda path: int(path.read_text())) == 12


def test_a_checksum_in_the_name_is_compared(site, tmp_path):
    root, answers, _ = site
    names = '/x-ca978112.bin', '/y-01234567.bin', '/z-20230426.bin'  # a date is none
    answers |= dict.fromkeys(names, length(b'a'))
    assert fetched(root + names[0], Path.read_bytes) == fetched(root + names[2], Path.read_bytes)
    with pytest.raises(ChecksumError, match='gives a file with SHA-256 ca978112ca1bbdca'):
        fetched(root + names[1], Path.read_bytes)
    assert sorted(kept(tmp_path)) == ['x-ca978112.bin', 'z-20230426.bin']


def test_a_full_disk_is_named_and_nothing_stays(site, tmp_path):
    root, answers, _ = site
    answers['/x.bin'] = length(b'a' * 400_000)
    with (
        short_disk(100_000),
        pytest.raises(OSError, match=r'x\.bin could not be written .*free space'),
    ):
        fetched(f'{root}/x.bin', Path.read_bytes, tmp_path / 'here')
    assert kept(tmp_path) == []


def test_no_name_leads_out_of_the_folder(tmp_path):
    for address in ('http://a/..%2f..%2fb', 'http://a/', 'http://a/..', 'http://a'):
        path = kept_path(address, tmp_path)
        assert path.resolve().parent.parent == tmp_path and path.name not in ('', '..')
