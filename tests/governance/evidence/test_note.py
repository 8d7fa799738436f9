"""Signed notes and checkpoints: the specifications' own examples, and what is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import Rejected
from governance.evidence import checkpoint, note
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.note import COSIGNATURE, Note, NoteKey, Signature

# Go's sumdb/note documents this key and note (pkg.go.dev/golang.org/x/mod/sumdb/note).
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HEAD = Checkpoint("example.com/log", 7, bytes(range(32)))


def test_the_example_of_another_implementation_verifies() -> None:
    key, signed = NoteKey.parse(VKEY), note.parse(NOTE.encode())
    assert signed.signed_by([key]) == [key] and str(key) == VKEY and str(signed) == NOTE


def test_a_changed_note_is_refused() -> None:
    key = NoteKey.parse(VKEY)
    with pytest.raises(Rejected, match="is wrong"):
        note.parse(NOTE.replace("answer", "question").encode()).signed_by([key])
    other = NoteKey("PeterNeumann", SECRET.public_key().public_bytes_raw())
    with pytest.raises(Rejected, match="No known key"):
        note.parse(NOTE.encode()).signed_by([other])


def test_a_checkpoint_is_signed_under_its_origin_and_read_back() -> None:
    signed = note.parse(str(HEAD.signed(SECRET)).encode())
    key = NoteKey("example.com/log", SECRET.public_key().public_bytes_raw())
    assert signed.signed_by([key]) == [key] and checkpoint.read(signed) == HEAD
    assert signed.text == "example.com/log\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


def test_a_cosignature_covers_time_and_text() -> None:
    witness = NoteKey("witness.example/w", SECRET.public_key().public_bytes_raw(), COSIGNATURE)
    message = b"cosignature/v1\ntime 1679315147\n" + HEAD.text.encode()
    raw = (1679315147).to_bytes(8, "big") + SECRET.sign(message)
    given = Note(HEAD.text, (*HEAD.signed(SECRET).signatures, Signature(witness.name, witness.id, raw)))
    assert note.parse(str(given).encode()).signed_by([witness]) == [witness]
    moved = (1679315148).to_bytes(8, "big") + raw[8:]
    with pytest.raises(Rejected):
        Note(HEAD.text, (Signature(witness.name, witness.id, moved),)).signed_by([witness])
    with pytest.raises(Rejected):
        Note(HEAD.text, (Signature(witness.name, witness.id, raw[8:]),)).signed_by([witness])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no signature\n",
        "text\n\nx name AAAAAAA=\n",
        "text\n\n— na me AAAAAAA=\n",
        "text\n\n— name AAA\n",
        "text\n\n— name AAAAAAA=",
        "te\txt\n\n— name AAAAAAA=\n",
        "text\n\n",
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        note.parse(text.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n-7\n"),
        ("\n7\n", "\n7 \n"),
        ("AAEC", "AA"),
        ("example.com/log\n7", "7"),
        ("\n7\n", "\n\n7\n"),
    ],
)
def test_what_is_no_checkpoint_is_refused(old: str, new: str) -> None:
    text = HEAD.text.replace(old, new, 1)
    assert text != HEAD.text
    with pytest.raises(Rejected):
        checkpoint.read(Note(text, ()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        VKEY[:-4],
        VKEY.replace("Peter", "Pater"),
        VKEY.replace("+A", "+B"),
        "a b+00000000+AR",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        NoteKey.parse(text)
