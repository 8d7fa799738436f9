#!/usr/bin/env python3
"""Checks a bundle of the transparency log, offline: `python3 verify_log.py BUNDLE [--key KEY]... [--witness KEY]...`

It needs Python 3.9 and the package `cryptography`, and nothing of the program that made the bundle. Read it from top to
bottom; it does five things.

1. It hashes the leaves into a tree, one after the other (RFC 6962 section 2.1), and keeps its root at each size that a
   checkpoint names. Since one row of leaves gives all roots, any two checkpoints whose roots fit are consistent: the
   later log begins with the earlier one.
2. It checks each checkpoint's form (c2sp.org/tlog-checkpoint), root and Ed25519 signature (c2sp.org/signed-note).
3. It checks the cosignatures of the witnesses that you name (c2sp.org/tlog-cosignature).
4. It opens each entry that was given: HMAC-SHA256(salt, entry) must be the leaf at the entry's position.
5. It says how many entries it opened, and how many it wasn't given.

Give the log's key by `--key`, as you noted it when you first saw it. Without, the bundle's own key is believed, and whoever
made up the bundle made up that too. Exit code: 0 all fits, 1 something doesn't, 2 this is no bundle.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "valueapi-transparency-bundle/1"
LOG, WITNESS = 1, 4  # signature types of signed notes


def sha256(data):
    return hashlib.sha256(data).digest()


# 1. The tree


class Tree:
    """A row of whole subtrees, the largest first, as (leaves, hash): what a tree of any size consists of."""

    def __init__(self, size, peaks):
        self.parts = []
        for bit in reversed(range(size.bit_length())):
            if size >> bit & 1:
                self.parts.append((1 << bit, peaks[len(self.parts)]))

    def append(self, leaf):
        self.parts.append((1, sha256(b"\x00" + leaf)))
        while len(self.parts) > 1 and self.parts[-1][0] == self.parts[-2][0]:
            (leaves, right), (_, left) = self.parts.pop(), self.parts.pop()
            self.parts.append((2 * leaves, sha256(b"\x01" + left + right)))

    def root(self):
        if not self.parts:
            return sha256(b"")
        made = self.parts[-1][1]
        for _, left in reversed(self.parts[:-1]):
            made = sha256(b"\x01" + left + made)
        return made


# 2. and 3. Keys, signed notes, checkpoints


def read_key(text):
    """A verifier key `name+id+key` as (name, id, type, public key)."""
    name, key_id, encoded = text.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    if sha256(name.encode() + b"\n" + raw)[:4].hex() != key_id or len(raw) != 33 or raw[0] not in (LOG, WITNESS):
        raise ValueError("the key's id isn't its own, or it is no Ed25519 key")
    return name, bytes.fromhex(key_id), raw[0], raw[1:]


def read_note(note):
    """A signed note as its text, and its signatures as (name, key id, signature)."""
    if any(each < " " and each != "\n" for each in note):
        raise ValueError("it holds control characters")
    text, blank, lines = note.rpartition("\n\n")
    signatures = []
    for line in lines.split("\n")[:-1]:
        dash, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or len(raw) < 5:
            raise ValueError("a signature line is none")
        signatures.append((name, raw[:4], raw[4:]))
    if not blank or not lines.endswith("\n") or not signatures:
        raise ValueError("it is no signed note")
    return text + "\n", signatures


def signed_by(text, signatures, keys):
    """How many of the keys signed the text. Raises ValueError where one of theirs is wrong."""
    number = 0
    for name, key_id, kind, public in keys:
        for signer, signer_id, signature in signatures:
            if (signer, signer_id) == (name, key_id):
                message = text.encode()
                if kind == WITNESS:
                    time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                    message = b"cosignature/v1\ntime %d\n" % time + message
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
                except InvalidSignature:
                    raise ValueError(f"the signature of {name} is wrong") from None
                number += 1
    return number


def read_checkpoint(text):
    """A checkpoint's text as (origin, size, root)."""
    origin, size, root = text.split("\n")[:3]
    decoded = base64.b64decode(root, validate=True)
    if not size.isascii() or not size.isdecimal() or str(int(size)) != size or len(decoded) != 32 or not origin:
        raise ValueError("it is no checkpoint")
    return origin, int(size), decoded


def check_checkpoints(bundle, keys, witnesses, say):
    """The (size, root) of every checkpoint whose form and signatures hold, and how many are cosigned."""
    heads, cosigned = [], []
    for number, note in enumerate(bundle["checkpoints"], 1):
        try:
            text, signatures = read_note(note)
            if not signed_by(text, signatures, keys):
                raise ValueError("no known key signed it")
            origin, size, root = read_checkpoint(text)
            if origin != bundle["origin"]:
                raise ValueError("it is another log's")
            heads.append((size, root))
            if signed_by(text, signatures, witnesses):
                cosigned.append((size, root))
        except ValueError as error:
            say(f"checkpoint number {number}: {error}")
    if not heads:
        say("there is no checkpoint that a known key signed: nothing shows that this is the log")
    elif witnesses and max(heads) not in cosigned:
        say("the newest checkpoint isn't cosigned by a witness that was named")
    return sorted(heads), len(cosigned)


def check_tree(bundle, leaves, heads, say):
    """Every checkpoint's root against the tree that the leaves make."""
    since = bundle["since"]
    peaks = [base64.b64decode(peak, validate=True) for peak in bundle["peaks"]]
    if len(peaks) != bin(since).count("1") or any(len(peak) != 32 for peak in peaks):
        raise ValueError("its peaks don't fit its first position")
    tree = Tree(since, peaks)
    roots = {since: tree.root()}
    wanted = {size for size, _ in heads}
    for position, leaf in enumerate(leaves, since):
        tree.append(leaf)
        if position + 1 in wanted:
            roots[position + 1] = tree.root()
    good = since
    for size, root in heads:
        if size not in roots:
            say(f"checkpoint {size}: the bundle's leaves go from {since} to {since + len(leaves)}")
        elif roots[size] != root:
            say(f"checkpoint {size}: a leaf between {good} and {size} was changed, removed, moved or put in")
            return
        else:
            good = size
    if good != since + len(leaves):
        say(f"no checkpoint that fits covers the leaves from {good} to {since + len(leaves)}")


# 4. Entries


def check_entries(bundle, leaves, say):
    """The positions of the entries that open their leaves."""
    opened, ids = set(), set()
    for number, given in enumerate(bundle["entries"], 1):
        at, since = given["position"], bundle["since"]
        try:
            salt, text = base64.b64decode(given["salt"], validate=True), given["entry"]
            entry = json.loads(text)
            if not since <= at < since + len(leaves):
                raise ValueError("the log has no such position")
            if len(salt) != 32 or hmac.digest(salt, text.encode(), "sha256") != leaves[at - since]:
                raise ValueError("it isn't what the log has there")
            if text != json.dumps(entry, sort_keys=True, separators=(",", ":")):
                raise ValueError("it isn't in its canonical form")
            if at in opened or entry["id"] in ids:
                raise ValueError("it was given twice")
            opened.add(at)
            ids.add(entry["id"])
        except (ValueError, KeyError, TypeError) as error:
            say(f"entry number {number} at position {at}: {error}")
    return opened


# 5. All of it


def leaf_of(text):
    """A leaf; one that is no base64 fits nothing, and is found at its place."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def check(bundle, keys, witnesses):
    """What doesn't fit, a sentence each, and what was found."""
    wrong = []
    keys = keys or bundle["keys"]
    leaves = [leaf_of(text) for text in bundle["leaves"]]
    heads, cosigned = check_checkpoints(
        bundle, [read_key(key) for key in keys], [read_key(key) for key in witnesses], wrong.append
    )
    check_tree(bundle, leaves, heads, wrong.append)
    opened = check_entries(bundle, leaves, wrong.append)
    size = heads[-1][0] if heads else 0
    return wrong, {
        "origin": bundle["origin"], "size": size, "checkpoints": len(heads), "cosigned": cosigned,
        "opened": len(opened), "not_given": max(size - len(opened), 0),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="Check a bundle of the transparency log, offline.")
    parser.add_argument("bundle")
    parser.add_argument("--key", action="append", default=[], help="the log's verifier key, as you know it")
    parser.add_argument("--witness", action="append", default=[], help="a witness's verifier key")
    told = parser.parse_args()
    try:
        with open(told.bundle, encoding="utf-8") as file:
            bundle = json.load(file)
        if bundle["format"] != FORMAT:
            raise ValueError("its format is another")
        wrong, found = check(bundle, told.key, told.witness)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        print(f"This can't be checked: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print("log {origin}: {size} entries, {checkpoints} checkpoints, {cosigned} of them cosigned".format(**found))
    print("{opened} entries opened, {not_given} not given".format(**found))
    if not told.key:
        print("the log's key is the bundle's own word: compare it with the one you know")
    for sentence in wrong:
        print("WRONG " + sentence)
    print("nothing is wrong" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
