"""Backup and restore: nothing lost, nothing replaced by what is no backup, nothing done under a running stack."""

import sqlite3
import stat
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from deploy.backup import BackupFailed, backup, main, restore
from deploy.stack_record import AlreadyUp, Claim
from resources.settings import Settings
from resources.store import open_store
from tests.resources.examples import fill


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", models_dir=tmp_path / "state" / "models")


@pytest.fixture
def state(settings: Settings) -> Path:
    state = settings.state_dir
    for name, text in {"adapters/v1/manifest.json": "one", "logs/x.log": "log", "models/m/config.json": "{}"}.items():
        (state / name).parent.mkdir(parents=True)
        (state / name).write_text(text)
    with closing(sqlite3.connect(state / "whetstone.db")) as store, store:
        store.execute("pragma journal_mode=wal")
        store.execute("create table conversations (id integer primary key, pair integer)")
        store.execute("insert into conversations values (1, 1), (2, 1)")
    return state


def rows(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as store:
        return [row[0] for row in store.execute("select id from conversations order by id")]


def test_what_was_backed_up_is_there_again_after_restore(settings: Settings, state: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    backup(settings, file)
    (state / "adapters/v1/manifest.json").write_text("spoilt")
    with closing(sqlite3.connect(state / "whetstone.db")) as store, store:
        store.execute("delete from conversations")
    (state / "later.txt").write_text("written after the backup")
    former = restore(settings, file).former
    assert (state / "adapters/v1/manifest.json").read_text() == "one"
    assert rows(state / "whetstone.db") == [1, 2]
    assert not (state / "later.txt").exists()
    assert former is not None
    assert (former / "later.txt").exists(), "the former state is kept, a restore by mistake loses nothing"
    assert (state / "models/m/config.json").exists(), "models are prepared again or stay, they are not carried"


def test_a_backup_is_readable_by_its_owner_alone(settings: Settings, state: Path, tmp_path: Path) -> None:
    backup(settings, tmp_path / "b.tar.gz")
    assert stat.S_IMODE((tmp_path / "b.tar.gz").stat().st_mode) == 0o600


def test_a_database_is_copied_whole_while_it_is_written(settings: Settings, state: Path, tmp_path: Path) -> None:
    ended = threading.Event()

    def write_pairs() -> None:
        with closing(sqlite3.connect(state / "whetstone.db", timeout=30)) as store:
            for pair in range(2, 100_000):
                if ended.is_set():
                    return
                with store:
                    store.execute("insert into conversations (pair) values (?)", (pair,))
                    store.execute("insert into conversations (pair) values (?)", (pair,))

    writer = threading.Thread(target=write_pairs)
    writer.start()
    try:
        backup(settings, tmp_path / "b.tar.gz")
    finally:
        ended.set()
        writer.join()
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        assert not [name for name in archive.getnames() if name.endswith(("-wal", "-shm"))]
        archive.extractall(tmp_path / "out", filter="data")
    with closing(sqlite3.connect(tmp_path / "out/whetstone-state/whetstone.db")) as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        assert not copy.execute("select pair from conversations group by pair having count(*) <> 2").fetchall()


def test_restore_is_refused_while_the_stack_is_up(settings: Settings, state: Path, tmp_path: Path) -> None:
    backup(settings, tmp_path / "b.tar.gz")
    running = Claim(state, "running")
    running.take()
    try:
        with pytest.raises(AlreadyUp, match="make down"):
            restore(settings, tmp_path / "b.tar.gz")
    finally:
        running.release()


@pytest.mark.parametrize("content", [b"no archive", b""], ids=["other bytes", "empty"])
def test_a_file_that_is_no_backup_changes_nothing(
    settings: Settings, state: Path, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "b.tar.gz").write_bytes(content)
    with pytest.raises(BackupFailed, match="nothing was changed"):
        restore(settings, tmp_path / "b.tar.gz")
    assert rows(state / "whetstone.db") == [1, 2]


def test_a_backup_cut_short_changes_nothing(settings: Settings, state: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    backup(settings, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BackupFailed, match="nothing was changed"):
        restore(settings, file)
    assert rows(state / "whetstone.db") == [1, 2]


def test_an_archive_that_reaches_outside_its_folder_is_refused(settings: Settings, state: Path, tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("evil")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "evil", arcname="../outside")
    with pytest.raises(BackupFailed):
        restore(settings, tmp_path / "b.tar.gz")
    assert not (tmp_path / "outside").exists()


def test_a_backup_does_not_replace_an_older_one(settings: Settings, state: Path, tmp_path: Path) -> None:
    backup(settings, tmp_path / "b.tar.gz")
    with pytest.raises(BackupFailed, match="name another file"):
        backup(settings, tmp_path / "b.tar.gz")


def test_restore_without_a_file_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore"]) == 2
    assert "make restore FILE=" in capsys.readouterr().err


def test_who_was_erased_since_the_backup_is_erased_from_it_again(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(settings.database_url, live_defaults=settings.live())) as store:
        fill(store, "theirs", user_id="somebody")
        fill(store, "another's", user_id="v")
        fill(store, "cleared", user_id="somebody")
        backup(settings, tmp_path / "b.tar.gz")
        store.conversations.erase_user("somebody")
    monkeypatch.setattr("deploy.backup.read_settings", lambda: settings)
    assert main(["restore", str(tmp_path / "b.tar.gz")]) == 0
    assert "Erased again, as they were since the backup was made: 1 users" in capsys.readouterr().out
    with closing(open_store(settings.database_url, live_defaults=settings.live())) as store:
        assert [item.conversation.id for item in store.conversations.page().items] == ["another's"]
        assert len(store.erasures.past()) == 2
    assert b"somebody" not in (settings.state_dir / "whetstone.db").read_bytes()


def test_a_store_too_damaged_to_say_who_was_erased_is_replaced_and_said(
    settings: Settings, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(settings, tmp_path / "b.tar.gz")
    (state / "whetstone.db").write_bytes(b"not a database" * 100)
    monkeypatch.setattr("deploy.backup.read_settings", lambda: settings)
    assert main(["restore", str(tmp_path / "b.tar.gz")]) == 0
    assert "erase again whoever was erased since" in capsys.readouterr().out
    assert rows(state / "whetstone.db") == [1, 2]
