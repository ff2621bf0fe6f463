"""The note of an upload: it outlives the process, belongs to one at a time, and goes when nothing is left to do."""

from pathlib import Path

from mesh.upload_note import DIRECTORY, open_note, upload_name


def test_what_was_begun_is_found_again_with_a_higher_epoch(tmp_path: Path):
    with open_note(tmp_path, "x") as note:
        assert note.upload is None
        note.begin("meeting-1")
        first = note.connect()
    with open_note(tmp_path, "x") as note:
        assert note.upload == first
        again = note.connect()
    assert (again.meeting_id, again.session_id) == ("meeting-1", first.session_id)
    assert again.epoch == first.epoch + 1


def test_what_is_done_leaves_nothing_behind(tmp_path: Path):
    with open_note(tmp_path, "x") as note:
        note.begin("meeting-1")
        note.forget()
    with open_note(tmp_path, "y"):
        pass
    assert list((tmp_path / DIRECTORY).iterdir()) == []


def test_a_second_process_with_the_same_file_goes_its_own_way(tmp_path: Path):
    with open_note(tmp_path, "x") as first, open_note(tmp_path, "x") as second:
        first.begin("meeting-1")
        second.begin("meeting-2")
        assert second.connect().meeting_id == "meeting-2"
    with open_note(tmp_path, "x") as note:
        assert note.upload is not None
        assert note.upload.meeting_id == "meeting-1"


def test_a_note_that_a_crash_cut_off_counts_for_nothing(tmp_path: Path):
    with open_note(tmp_path, "x") as note:
        note.begin("meeting-1")
    [path] = (tmp_path / DIRECTORY).iterdir()
    path.write_text(path.read_text()[:20])
    with open_note(tmp_path, "x") as note:
        assert note.upload is None


def test_an_upload_is_known_by_its_content_and_kind(tmp_path: Path):
    one, other = tmp_path / "one.wav", tmp_path / "other.wav"
    one.write_bytes(b"sound")
    other.write_bytes(b"sound")
    assert upload_name(one, "en 1") == upload_name(other, "en 1") != upload_name(one, "en 2")
    other.write_bytes(b"another sound")
    assert upload_name(one, "en 1") != upload_name(other, "en 1")
