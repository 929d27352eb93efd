"""The directory of a local AWS that lasts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stepml.local.keeping.keeping import Keeping
from stepml.local.keeping.store import DATABASE, FORMAT, KeepError, Store, require_usable
from stepml.local.parameter_server import ParameterServerProgram
from stepml.local.ports import FILE, port_of, read_ports, reserve_again, reserve_port, write_ports
from tests.support.running_aws import WAIT_S

SAVE = "INSERT OR REPLACE INTO items VALUES(?, ?, ?)"
ALL = "SELECT key, doc FROM items ORDER BY key"

KILLED = """
import os, signal, sys
from pathlib import Path
from stepml.local.keeping.store import Store
store = Store(Path(sys.argv[1]))
for number in range(100):
    store.write(("INSERT INTO items VALUES(?, ?, ?)", ("t", f"{number:03}", "{}")))
print(store.add_value(b"x" * 1000), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "kept"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    opened = Store(directory)
    yield opened
    opened.close()


def test_what_is_written_is_there_again_in_order(directory: Path, store: Store) -> None:
    store.later((SAVE, ("t", "a", "1")), (SAVE, ("t", "b", "1")))
    store.write((SAVE, ("t", "a", "2")))
    value = store.add_value(b"large")
    store.later((SAVE, ("t", "c", value)))
    store.close()

    again = Store(directory)
    assert again.rows(ALL) == [("a", "2"), ("b", "1"), ("c", value)]
    assert again.value(value) == b"large"
    again.close()


def test_every_commit_survives_a_kill(directory: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(directory)], capture_output=True, text=True, check=False
    )
    assert killed.returncode < 0, killed.stderr
    store = Store(directory)
    assert store.rows("SELECT count(*) FROM items") == [(100,)]
    value = killed.stdout.strip()
    assert store.value(value) == b"x" * 1000
    before = store.size_bytes()
    store.remove_all_values_but([])  # nothing refers to it
    with pytest.raises(FileNotFoundError):
        store.value(value)
    assert store.size_bytes() < before
    store.close()


def test_a_transaction_that_fails_leaves_nothing_and_is_tried_again(store: Store) -> None:
    with pytest.raises(sqlite3.Error):
        store.write((SAVE, ("t", "a", "1")), ("INSERT INTO absent VALUES(1)", ()))
    with pytest.raises(sqlite3.Error):
        store.rows(ALL)
    store._database.execute("CREATE TABLE absent(number)")
    assert store.rows(ALL) == [("a", "1")]


def test_what_a_full_disk_cannot_take_is_bounded_and_ends_the_local_aws(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()
    full = Store(directory, ended.set, most_waiting_bytes=10_000)
    full._database.execute("PRAGMA max_page_count = 1")  # those that it has
    for number in range(100):
        full.later((SAVE, ("t", f"{number}", "1" * 1000)))
        with suppress(sqlite3.Error):
            full.commit()
    assert ended.wait(WAIT_S)
    full.later((SAVE, ("t", "later", "1" * 1000)))
    assert full._queue.take().statements == []
    with pytest.raises(KeepError, match="kept lacks the last changes, as it cannot be written"):
        full.close()
    critical = [each.message for each in caplog.records if each.levelname == "CRITICAL"]
    assert len(critical) == 1
    assert "kept cannot be written: database or disk is full; the local AWS ends" in critical[0]
    Store(directory).close()


def test_one_local_aws_uses_a_directory(directory: Path, store: Store) -> None:
    for use in (Store, require_usable):
        with pytest.raises(KeepError, match=r"kept is used by another local AWS, which is run"):
            use(directory)
    store.close()
    require_usable(directory)
    Store(directory).close()


def test_files_of_something_else_stay(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(KeepError, match="has files that are not those of a local AWS"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_directory_that_others_may_change_is_refused(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    Store(directory).close()  # a new one becomes private
    assert directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o770)
    with pytest.raises(KeepError, match=r"may be changed by others.*chmod 700"):
        Store(directory)


def test_another_format_is_refused(directory: Path) -> None:
    Store(directory).close()
    with sqlite3.connect(directory / DATABASE) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()
    with pytest.raises(KeepError, match=f"in format {FORMAT + 1}; this one reads format {FORMAT}"):
        require_usable(directory)


def test_a_file_that_is_no_database_is_named(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / DATABASE).write_bytes(b"not a database" * 100)
    with pytest.raises(KeepError, match=rf"{DATABASE} cannot be opened"):
        Store(directory)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeepError, match="file/kept: Not a directory"):
        Store(tmp_path / "file" / "kept")


def test_the_ports_of_before_are_read_if_there_are_any(tmp_path: Path) -> None:
    assert read_ports(None) == read_ports(tmp_path) == {}
    write_ports(tmp_path, {"endpoint": 4566, "redis": 4567})
    assert read_ports(tmp_path) == {"endpoint": 4566, "redis": 4567}


def test_a_port_of_before_is_reserved_again_as_soon_as_it_is_free() -> None:
    ending = reserve_port(0)
    port = port_of(ending)
    threading.Timer(0.2, ending.close).start()
    with reserve_again(port, port) as reserved:
        assert port_of(reserved) == port


@pytest.mark.parametrize("value", ["\ud800", 2**70, {}])
def test_a_value_that_no_database_has_does_not_hold_up_the_others(
    directory: Path, store: Store, value: object
) -> None:
    store.later((SAVE, ("t", "a", "1")), (SAVE, ("t", "b", value)), (SAVE, ("t", "c", "1")))
    store.commit()
    store.write((SAVE, ("t", "d", "1")))
    assert [key for key, _ in store.rows(ALL)] == ["a", "c", "d"]


@pytest.mark.parametrize("content", ["", "[]", '{"endpoint": 45'])
def test_ports_that_cannot_be_read_are_unknown(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    assert read_ports(tmp_path) == {}


def test_a_token_that_was_not_written_whole_is_drawn_again(tmp_path: Path) -> None:
    (tmp_path / "token.new").write_text("cut")
    health = reserve_port(0)
    program = ParameterServerProgram(health, tmp_path, lasts=True)
    again = ParameterServerProgram(health, tmp_path, lasts=True)
    assert program.parameters(1) == again.parameters(1)
    assert "cut" not in program.parameters(1).values()
    assert "" not in program.parameters(1).values()
    health.close()


def test_a_damaged_database_is_named(directory: Path) -> None:
    store = Store(directory)
    store.write(*((SAVE, ("t", f"{number}", "1" * 1000)) for number in range(100)))
    store.close()
    with (directory / DATABASE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)
    with pytest.raises(KeepError, match=rf"{DATABASE} cannot be read: "):
        Keeping(directory, lambda: None)
