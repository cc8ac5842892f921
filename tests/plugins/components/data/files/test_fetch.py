import hashlib
import threading
import urllib.request

import pytest

from harness.system.errors import HarnessError
from harness_components.data.files.fetch import BLOCK, Source, fetch, unpacked

CONTENT = bytes(range(256)) * 4000


def source(folder, content=CONTENT, md5=None):
    path = folder / "elsewhere" / "set.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return Source(path.as_uri(), md5 or hashlib.md5(content).hexdigest())


def kept(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_file_is_fetched_once_and_announced_on_standard_error(tmp_path, capsys):
    cache = tmp_path / "deep" / "cache"
    there = source(tmp_path)
    path = fetch(there, cache)
    assert path.read_bytes() == CONTENT
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "downloaded set.bin: 1.0 MB\n"
    (tmp_path / "elsewhere" / "set.bin").unlink()
    assert fetch(there, cache) == path
    assert capsys.readouterr().err == ""
    assert kept(cache) == ["set.bin"]


def test_terminal_shows_progress(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fetch(source(tmp_path), tmp_path / "cache")
    output = capsys.readouterr().err.split("\r")
    shares = [int(line.rpartition(" ")[2].rstrip("%")) for line in output if line.startswith("downloading")]
    assert len(shares) == -(-len(CONTENT) // BLOCK)
    assert shares == sorted(shares)
    assert shares[-1] == 100


def test_changed_content_is_refused_and_not_kept(tmp_path):
    with pytest.raises(HarnessError, match=r"has changed .*the download was deleted"):
        fetch(source(tmp_path, md5="0" * 32), tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


def test_interrupted_download_leaves_no_file(tmp_path, monkeypatch):
    there, real = source(tmp_path), urllib.request.urlopen

    def breaking(url, timeout):
        answer = real(url, timeout=timeout)
        read, calls = answer.read, []

        def some(n):
            calls.append(n)
            if len(calls) > 2:
                raise ConnectionResetError(104, "Connection reset by peer")
            return read(n)

        answer.read = some
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(urllib.request, "urlopen", breaking)
        with pytest.raises(HarnessError, match=r"cannot fetch .*Connection reset"):
            fetch(there, tmp_path / "cache")
    assert kept(tmp_path / "cache") == []
    assert fetch(there, tmp_path / "cache").read_bytes() == CONTENT


def test_failed_download_names_the_place_for_the_file(tmp_path):
    missing = Source((tmp_path / "nowhere.gz").as_uri(), "0" * 32)
    with pytest.raises(HarnessError, match=r"cannot download file://.*put the file at .*cache/nowhere\.gz"):
        fetch(missing, tmp_path / "cache")
    (tmp_path / "cache" / "nowhere.gz").write_bytes(b"by hand")
    assert fetch(missing, tmp_path / "cache").read_bytes() == b"by hand"


def test_concurrent_requests_download_once(tmp_path, monkeypatch):
    there, real, calls = source(tmp_path), urllib.request.urlopen, []

    def counting(url, timeout):
        calls.append(url)
        return real(url, timeout=timeout)

    monkeypatch.setattr(urllib.request, "urlopen", counting)
    threads = [threading.Thread(target=fetch, args=(there, tmp_path / "cache")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert kept(tmp_path / "cache") == ["set.bin"]


def test_file_that_is_no_gzip_is_refused(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"<html>")
    with pytest.raises(HarnessError, match="is not a whole gzip file"):
        unpacked(path)
