#!/usr/bin/env python3
"""Checks an export of Yagura's entry log: the same three verdicts as `yagura-verify`, from the page
deploy/docs/entry-log.md, in one file that can be read in an evening. Nothing but Python 3.9 is needed;
Ed25519 is checked by the package `cryptography` where it is installed, otherwise by the lines below
(slow: some milliseconds a signature). It holds the hashes of all leaves in memory.

usage: yagura-verify.py [--policy FILE] [--note [NAME=]FILE] [--seen FILE] [--until TIME]
                        [--gap MINUTES] [--json] DIR
exit:  0 good, 1 bad, 2 cannot tell
"""
import base64
import datetime
import hashlib
import json
import os
import re
import sys
import time

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None
if os.environ.get("YAGURA_PLAIN_ED25519"):
    Ed25519PublicKey = None

MAX_LEAF, MAX_NOTE, MAX_INT, MAX_DEPTH, SHOWN = 65535, 16384, 2**53 - 1, 16, 20
CLOCKS_MS, SILENCE_MS = 5_000, 65 * 60_000
HEX64 = re.compile(r"[0-9a-f]{64}")


class Form(Exception):
    """What was read has not the form."""


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Ed25519, RFC 8032 section 5.1, for where there is no package ---
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        raise Form("key")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square or (x == 0 and sign):
        raise Form("key")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def plus(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, a):
    out = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            out = plus(out, a)
        a, scalar = plus(a, a), scalar >> 1
    return out


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def small(a):
    return same(times(8, a), (0, 1, 1, 0))


def fits(key, text, signature):
    """True when the signature is the key's."""
    if len(signature) != 64:
        return False
    if Ed25519PublicKey:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
            return True
        except Exception:  # any refusal is a refusal
            return False
    s = int.from_bytes(signature[32:], "little")
    try:
        a, r = point(key), point(signature[:32])
    except Form:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % Q
    return s < Q and not small(r) and same(times(s, BASE), plus(r, times(h, a)))


# --- spellings ---
def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Form("base64") from None
    if base64.b64encode(data).decode() != text:
        raise Form("base64")
    return data


def decimal(text):
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text) or int(text) > MAX_INT:
        raise Form("number")
    return int(text)


def plain(value, depth=0):
    """True when a value holds only objects, lists, strings and integers."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(plain(one, depth + 1) for one in value.values())
    if isinstance(value, list):
        return all(plain(one, depth + 1) for one in value)
    return isinstance(value, str) or (type(value) is int and abs(value) <= MAX_INT)


def canonical(line):
    """The value of a line that is spelt in the one way there is."""
    try:
        value = json.loads(line.decode("utf-8"))
        again = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    except (ValueError, RecursionError):
        raise Form("json") from None
    if again != line or not plain(value):
        raise Form("canonical")
    return value


def moment(text):
    """Milliseconds since 1970 of an RFC 3339 time."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII):
        raise Form("time")
    whole, part = re.match(r"([^.]{19})(?:\.(\d+))?", text).groups()
    zone = text[-1] if text[-1] in "Zz" else text[-6:]
    try:
        at = datetime.datetime.fromisoformat(whole.replace("t", "T") + ("+00:00" if zone in "Zz" else zone))
    except ValueError:
        raise Form("time") from None
    return int(at.timestamp()) * 1000 + int(((part or "") + "000")[:3])


def shown(ms):
    try:
        zone = datetime.timezone(datetime.timedelta(hours=9))
        return datetime.datetime.fromtimestamp(ms // 1000, zone).strftime("%Y-%m-%d %H:%M:%S JST")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def is_name(name):
    return name != "" and not re.search(r"[\s+\x00-\x1f]", name)


class Key:
    def __init__(self, text, algorithm):
        try:
            self.name, ident, material = text.split("+", 2)
        except ValueError:
            raise Form("verifier key") from None
        material = unbase64(material)
        self.text, self.algorithm, self.point = text, algorithm, material[1:]
        self.ident = sha(self.name.encode(), b"\n", material)[:4]
        if not is_name(self.name) or len(material) != 33 or material[0] != algorithm or self.ident.hex() != ident:
            raise Form("verifier key")
        if small(point(self.point)):
            raise Form("verifier key")

    def of(self, note):
        """The time of a signature (0 for the log's), False for a forged one, None for none."""
        said = None
        for name, ident, signature in note.signatures:
            if (name, ident) != (self.name, self.ident):
                continue
            at, text = 0, note.text
            if self.algorithm == 4:
                at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                text = b"cosignature/v1\ntime %d\n" % at + text
            if at > MAX_INT or not fits(self.point, text, signature):
                return False
            said = at
        return said


class Note:
    def __init__(self, data):
        if len(data) > MAX_NOTE:
            raise Form("note")
        try:
            text, cut, signatures = data.decode("utf-8").rpartition("\n\n")
        except ValueError:
            raise Form("note") from None
        lines = text.split("\n")
        if not cut or len(lines) != 3 or not signatures.endswith("\n") or re.search(r"[\x00-\x09\x0b-\x1f]", text + signatures):
            raise Form("note")
        self.origin, self.size, self.root = lines[0], decimal(lines[1]), unbase64(lines[2])
        if not is_name(self.origin) or self.size == 0 or len(self.root) != 32:
            raise Form("note")
        self.text, self.signatures = (text + "\n").encode(), []
        for line in signatures[:-1].split("\n"):
            found = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
            if not found or len(self.signatures) == 32:
                raise Form("note")
            data = unbase64(found[2])
            if len(data) < 5:
                raise Form("note")
            self.signatures.append((found[1], data[:4], data[4:]))


class Tree:
    """All complete subtrees, so that the root at every size can be asked for."""

    def __init__(self):
        self.levels = [[]]

    def push(self, leaf):
        hashed, level = sha(b"\0", leaf), 0
        self.levels[0].append(hashed)
        while len(self.levels[level]) % 2 == 0:
            left, right = self.levels[level][-2:]
            level += 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(sha(b"\1", left, right))

    def size(self):
        return len(self.levels[0])

    def root(self, size):
        if size == 0:
            return sha()
        place, out = size, None
        for level, hashes in enumerate(self.levels):
            if size >> level & 1:
                place -= 1 << level
                left = hashes[place >> level]
                out = left if out is None else sha(b"\1", left, out)
        return out


class Policy:
    def __init__(self, text=""):
        self.log, self.witnesses, self.seen, self.quorum = None, {}, [], None
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                self.line(*words)
            except (Form, TypeError):
                raise Form(f"policy, line {number}") from None
        if any(seen["witness"] not in self.witnesses for seen in self.seen):
            raise Form("policy: seen without its witness line")
        if self.quorum is not None and self.quorum > len(self.witnesses):
            raise Form("policy: quorum without so many witness lines")

    def line(self, word, first, *more):
        if word == "log" and not self.log and not more:
            self.log = Key(first, 1)
        elif word == "witness" and first not in self.witnesses and len(more) < 2:
            self.witnesses[first] = Key(more[0], 4) if more else None
        elif word == "seen" and len(more) in (2, 3):
            root = bytes.fromhex(more[1]) if HEX64.fullmatch(more[1]) else unbase64(more[1])
            size = decimal(more[0])
            if size == 0 or len(root) != 32:
                raise Form("seen")
            at = moment(more[2]) if len(more) == 3 else None
            self.seen.append({"witness": first, "size": size, "root": root, "at": at})
        elif word == "quorum" and self.quorum is None and not more and decimal(first) > 0:
            self.quorum = decimal(first)
        else:
            raise Form("statement")


class Verdict:
    def __init__(self):
        self.found = {"bad": [], "doubt": [], "remark": []}

    def add(self, weight, code, leaf=None, detail=""):
        self.found[weight].append((code, leaf, str(detail)))

    def bad(self, code, leaf=None, detail=""):
        self.add("bad", code, leaf, detail)

    def doubt(self, code, leaf=None, detail=""):
        self.add("doubt", code, leaf, detail)

    def answer(self):
        return "bad" if self.found["bad"] else "cannot tell" if self.found["doubt"] else "good"


# --- leaves ---
def check_leaf(line):
    if len(line) > MAX_LEAF:
        raise Form("long")
    leaf = canonical(line)
    whole = {"v", "n", "kind", "logged_at", "up_ms", "boot", "journal", "data"}
    if not isinstance(leaf, dict) or not whole <= set(leaf) or set(leaf) - whole - {"observed_at", "clock", "node", "sealed"}:
        raise Form("members")
    good = leaf["v"] == 1 and isinstance(leaf["data"], dict)
    good = good and all(type(leaf[name]) is int and leaf[name] >= 0 for name in ("n", "logged_at", "up_ms", "journal"))
    good = good and all(isinstance(leaf[name], str) and leaf[name] for name in ("kind", "boot"))
    good = good and type(leaf.get("observed_at", 0)) is int and leaf.get("clock", "set") in ("set", "unset", "skewed")
    if "node" in leaf:
        node = leaf["node"]
        good = good and isinstance(node, dict) and set(node) == {"id", "boot", "seq", "up_ms"}
        good = good and isinstance(node["id"], str) and node["id"] != "" and isinstance(node["boot"], (str, int))
        good = good and all(type(node[name]) is int and node[name] >= 0 for name in ("seq", "up_ms"))
    sealed = leaf.get("sealed", {})
    good = good and isinstance(sealed, dict)
    good = good and all(1 <= len(name.encode()) <= 255 and is_hash(value) for name, value in sealed.items())
    if not good:
        raise Form("member")
    return leaf


def is_hash(value):
    return isinstance(value, str) and HEX64.fullmatch(value) is not None


TYPES = {"word": lambda v: isinstance(v, str) and v != "", "int": lambda v: type(v) is int,
         "count": lambda v: type(v) is int and v >= 0, "hash": is_hash,
         "nodes": lambda v: isinstance(v, list) and all(isinstance(one, dict) and isinstance(one.get("id"), str)
                                                        and type(one.get("seq")) is int and one["seq"] >= 0 for one in v),
         "counts": lambda v: isinstance(v, dict) and all(type(one) is int and one >= 0 for one in v.values()),
         "words": lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v)}
KINDS = {"log.started": "origin:word key:word", "log.resumed": "down_from:int down_to:int", "heartbeat": "nodes:nodes",
         "key.rotated": "key:word", "node.missing": "id:word from:count to:count", "node.restarted": "id:word seq:count",
         "witness.saw": "witness:word size:count root:hash at:int",
         "review.signed": "from:count to:count size:count root:hash counts:counts dispositions:hash",
         "review.disposed": "of:count disposition:word",
         "retention.erased": "from:count to:count count:count reason:word fields:words", "clock.stepped": "by_ms:int"}


def check_data(kind, data):
    for member in KINDS.get(kind, "").split():
        name, wanted = member.split(":")
        if name not in data or not TYPES[wanted](data[name]):
            return False
    if kind == "log.started" and "previous" in data:
        before = data["previous"]
        return isinstance(before, dict) and isinstance(before.get("origin"), str) and is_hash(before.get("root")) \
            and TYPES["count"](before.get("size"))
    return kind != "witness.saw" or data["size"] > 0


class Check:
    def __init__(self, folder, policy, seen, notes, until, gap_ms):
        self.folder, self.policy, self.until, self.gap_ms = folder, policy, until, gap_ms
        self.integrity, self.completeness, self.witnesses = Verdict(), Verdict(), Verdict()
        self.given, self.notes = policy.seen + seen, notes
        self.tree, self.origin, self.key, self.rotations = Tree(), "", policy.log, {}
        self.leaves, self.last, self.boots, self.clock_reference = [], None, set(), 0
        self.disposed, self.reviews, self.unreviewed, self.claims = {}, [], {}, []
        self.beat, self.pending, self.nodes, self.previous = None, None, {}, False

    def run(self):
        if not self.policy.log:
            self.integrity.doubt("no-key")
        checkpoints = self.checkpoints()
        self.openings = self.read_openings()
        complete = True
        for n, line in enumerate(self.lines("leaves.jsonl", MAX_LEAF, self.integrity, needed=True)):
            if line is None:
                complete = False
                break
            self.leaf(n, line)
            self.tree.push(line)
        size = self.tree.size()
        self.signed(checkpoints, complete, size)
        if complete and size == 0:
            self.integrity.bad("started")
        if complete:
            for n in self.openings:
                if n >= size:
                    for field, _ in self.openings[n]:
                        self.integrity.bad("opening", n, field)
        else:
            self.completeness.doubt("unread", size)
        for of, n in self.unreviewed.items():
            self.integrity.bad("disposed-after-review", n, of)
        if complete:
            self.end()
        self.compare(checkpoints, complete, size)
        return {"integrity": self.integrity, "completeness": self.completeness, "witnesses": self.witnesses}

    def lines(self, name, most, verdict, needed=False):
        """The lines of a file; `None` at the end when it could not be read to the end."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                n = 0
                while line := file.readline(most + 1):
                    if not line.endswith(b"\n"):
                        verdict.bad("line-too-long" if len(line) > most else "line-open", n, name)
                        yield None
                        return
                    yield line[:-1]
                    n += 1
        except FileNotFoundError:
            if needed:
                verdict.doubt("unreadable", None, name)
                yield None
        except OSError as why:
            verdict.doubt("unreadable", None, why)
            yield None

    # --- the leaf at its place ---
    def leaf(self, n, line):
        try:
            leaf = check_leaf(line)
        except Form as why:
            self.integrity.bad("leaf-form", n, why)
            self.completeness.doubt("unread", n)
            self.leaves.append("")
            return
        kind, data = leaf["kind"], leaf["data"]
        if leaf["n"] != n:
            self.integrity.bad("leaf-place", n, leaf["n"])
        if not check_data(kind, data):
            self.integrity.bad("leaf-data", n, kind)
            self.completeness.doubt("unread", n, kind)
            # As any other kind, but never in the place of the first leaf.
            kind = "" if kind in KINDS else kind
        self.leaves.append(leaf["kind"])
        self.keys(n, kind, data)
        self.clocks(n, kind, leaf)
        if kind == "review.disposed":
            self.dispose(n, data["of"], line)
        elif kind == "review.signed":
            self.review(n, data)
        elif kind == "witness.saw":
            if data["size"] > n:
                self.witnesses.bad("larger", n, data["witness"])
            else:
                self.claims.append({"witness": data["witness"], "size": data["size"], "root": bytes.fromhex(data["root"]),
                                    "at": data["at"], "leaf": n})
        self.running(n, kind, leaf)
        self.numbers(n, kind, leaf)
        self.last = leaf
        for field, commitment in self.openings.get(n, []):
            if leaf.get("sealed", {}).get(field) != commitment:
                self.integrity.bad("opening", n, field)

    def keys(self, n, kind, data):
        if n == 0 and kind != "log.started":
            self.integrity.bad("started", n)
        elif n == 0:
            self.origin, named, self.previous = data["origin"], None, "previous" in data
            try:
                named = Key(data["key"], 1)
                if not re.fullmatch(re.escape(named.name) + r"/[0-9]{4}", self.origin, re.ASCII) \
                        or not re.fullmatch(r"[^ +]*/entry-log/([1-9][0-9]{3})", self.origin):
                    self.integrity.bad("started", n, self.origin)
            except Form:
                self.integrity.bad("started", n)
            if self.policy.log and self.policy.log.text != data["key"]:
                self.integrity.bad("first-key", n)
            self.key = self.policy.log or named
        elif kind == "log.started":
            self.integrity.bad("started", n)
        elif kind == "key.rotated":
            try:
                named = Key(data["key"], 1)
                if named.name != self.origin.rpartition("/")[0]:
                    raise Form("name")
                self.rotations[n] = named
            except Form:
                self.integrity.bad("key", n)

    def clocks(self, n, kind, leaf):
        offset, before = leaf["logged_at"] - leaf["up_ms"], self.last
        if before and before["boot"] == leaf["boot"]:
            expected = self.clock_reference + (leaf["data"]["by_ms"] if kind == "clock.stepped" else 0)
            if abs(offset - expected) > CLOCKS_MS:
                self.integrity.bad("clock", n, shown(leaf["logged_at"]))
                self.clock_reference = offset
            elif kind == "clock.stepped":
                self.clock_reference = offset
            if leaf["up_ms"] < before["up_ms"] - CLOCKS_MS:
                self.integrity.bad("clock", n, leaf["up_ms"])
        else:
            self.clock_reference = offset
            if leaf["boot"] in self.boots:
                self.integrity.bad("boot-again", n, leaf["boot"])
            self.boots.add(leaf["boot"])
            if before and leaf["logged_at"] < before["logged_at"] - CLOCKS_MS and kind != "clock.stepped":
                self.integrity.doubt("clock-back", n, shown(leaf["logged_at"]))
        if before and leaf["journal"] < before["journal"]:
            self.integrity.bad("journal", n, leaf["journal"])

    def dispose(self, n, of, line):
        if of >= n:
            self.integrity.bad("leaf-data", n, of)
            return
        if any(first <= of <= last for first, last in self.reviews):
            self.unreviewed[of] = n
        self.disposed[of] = line

    def review(self, n, data):
        first, last, size = data["from"], data["to"], data["size"]
        if not first <= last < size <= n:
            self.integrity.bad("review", n, f"{first}..{last} of {size}")
            return
        counts = {}
        for kind in self.leaves[first:last + 1]:
            counts[kind] = counts.get(kind, 0) + 1
        if counts != data["counts"]:
            self.integrity.bad("review", n, "counts")
        in_force = [self.disposed[of] + b"\n" for of in sorted(self.disposed) if first <= of <= last]
        if sha(*in_force).hex() != data["dispositions"]:
            self.integrity.bad("review-dispositions", n)
        if self.tree.root(size).hex() != data["root"]:
            self.integrity.bad("review-root", n, size)
        self.unreviewed = {of: at for of, at in self.unreviewed.items() if not first <= of <= last}
        self.reviews.append((first, last))

    # --- completeness ---
    def running(self, n, kind, leaf):
        now, data = (leaf["boot"], leaf["up_ms"], leaf["logged_at"]), leaf["data"]
        if kind == "log.resumed":
            beat = self.pending[2] if self.pending else self.beat
            self.pending, (first, last) = None, (data["down_from"], data["down_to"])
            if (beat and first - beat[2] > SILENCE_MS) or leaf["logged_at"] - last > SILENCE_MS:
                self.completeness.bad("silent", n)
            weight, code = ("doubt", "gap-clock") if last < first else \
                ("doubt" if last - first > self.gap_ms else "remark", "gap")
            self.completeness.add(weight, code, n, f"{shown(first)} .. {shown(last)}")
            self.beat = now
            return
        self.settle()
        if self.beat is None:
            self.beat = now
        elif self.last and self.last["boot"] != leaf["boot"]:
            self.pending, self.beat = ("restart-unsaid", n, self.beat), now
        else:
            if kind == "clock.stepped":
                self.beat = self.beat[:2] + (self.beat[2] + data["by_ms"],) + self.beat[3:]
            if self.beat[0] == leaf["boot"] and leaf["up_ms"] - self.beat[1] > SILENCE_MS and len(self.beat) == 3:
                self.beat += ("said",)
                self.pending = ("silent", n, self.beat)
            if kind == "heartbeat":
                self.beat = now

    def settle(self):
        if self.pending:
            self.completeness.bad(self.pending[0], self.pending[1])
            self.pending = None

    def numbers(self, n, kind, leaf):
        """`nodes`: the number of the next event, and whether numbers have just begun again."""
        data, verdict = leaf["data"], self.completeness
        if "node" in leaf:
            name, seq = leaf["node"]["id"], leaf["node"]["seq"]
            if name not in self.nodes or self.nodes[name][0] != seq:
                verdict.bad("sequence", n, f"{name} {seq}")
            self.nodes[name] = (max(seq + 1, self.nodes.get(name, (0,))[0]), False)
        if kind == "node.missing":
            name, first, last = data["id"], data["from"], data["to"]
            if name in self.nodes and self.nodes[name][0] == first <= last:
                self.nodes[name] = (last + 1, False)
                verdict.add("remark", "missing", n, f"{name} {first}..{last}")
            else:
                verdict.bad("sequence", n, f"{name} node.missing {first}..{last}")
        elif kind == "node.restarted":
            if data["id"] in self.nodes:
                verdict.add("remark", "restarted", n, data["id"])
            self.nodes[data["id"]] = (data["seq"], True)
        elif kind == "heartbeat" and n == 1 and self.previous:
            self.nodes.update((one["id"], (one["seq"] + 1, False)) for one in data["nodes"])
        elif kind == "heartbeat":
            named = set()
            for one in data["nodes"]:
                following, fresh = self.nodes.get(one["id"], (None, False))
                if not (fresh or following == one["seq"] + 1) or one["id"] in named:
                    verdict.bad("heartbeat", n, one["id"])
                named.add(one["id"])
            for name, (_, fresh) in sorted(self.nodes.items()):
                if not fresh and name not in named:
                    verdict.bad("heartbeat", n, name)

    def end(self):
        self.settle()
        until, year = self.until, re.fullmatch(r".*/entry-log/([1-9][0-9]{3})", self.origin)
        if year:
            until = min(until, moment(f"{int(year[1]) + 1:04}-04-01T00:00:00+09:00"))
        if not self.last or self.last["logged_at"] < until - SILENCE_MS:
            self.completeness.bad("end", None, shown(until))

    # --- checkpoints, openings, witnesses ---
    def checkpoints(self):
        """All notes that have the form, in their order."""
        notes, text, newest = [], b"", None
        newest_origin = ""
        try:
            with open(os.path.join(self.folder, "checkpoint"), "rb") as file:
                newest = Note(file.read(MAX_NOTE + 1))
                newest_origin = newest.origin
        except Form as why:
            self.integrity.bad("checkpoint-form", None, why)
        except OSError as why:
            self.integrity.doubt("unreadable", None, why)
        for line in self.lines("checkpoints", MAX_NOTE, self.integrity, needed=True):
            if line is None:
                text = b""
                break
            if line != b"---":
                text += (line + b"\n") if len(text) <= MAX_NOTE else b""
                continue
            try:
                notes.append(Note(text))
            except Form as why:
                self.integrity.bad("checkpoint-form", None, why)
            text = b""
        if text:
            self.integrity.bad("line-open", None, "checkpoints")
        notes += [newest] if newest else []
        self.newest, good = newest, []
        self.note_origin = newest_origin or (notes[0].origin if notes else "")
        for note in notes:
            if note.origin != self.note_origin:
                self.integrity.bad("checkpoint-origin", None, note.origin)
            elif good and note.size < good[-1].size:
                self.integrity.bad("checkpoint-order", None, note.size)
            else:
                good.append(note)
        return good

    def signed(self, checkpoints, complete, size):
        both, key = set(), self.key
        waiting = sorted(self.rotations)
        for note in checkpoints:
            if note.size > size:
                if complete:
                    self.integrity.bad("size", None, f"{size} < {note.size}")
                continue
            # The key named among the first size - 1 leaves.
            while waiting and waiting[0] < note.size - 1:
                key = self.rotations[waiting.pop(0)]
            said = key.of(note) if key else None
            if said is None or said is False:
                self.integrity.bad("signature", note.size - 1, note.size)
            elif waiting and waiting[0] == note.size - 1:
                following = self.rotations[waiting[0]].of(note)
                if following is not None and following is not False:
                    both.add(waiting[0])
            if note.root != self.tree.root(note.size):
                self.integrity.bad("root", note.size - 1, note.size)
        for n in self.rotations:
            if n not in both:
                self.integrity.bad("rotation", n)
        if complete and self.newest and self.newest.size < size:
            self.integrity.bad("size", self.newest.size, f"{size} > {self.newest.size}")

    def read_openings(self):
        openings, before = {}, None
        for line in self.lines("openings.jsonl", MAX_LEAF, self.integrity):
            if line is None:
                break
            try:
                one = canonical(line)
                n, field, salt = one["n"], one["field"], one["salt"]
                name = field.encode()
                good = set(one) == {"field", "n", "salt", "value"} and type(n) is int and n >= 0
                if not good or not re.fullmatch(r"[0-9a-f]{32}", salt) or not 1 <= len(name) <= 255:
                    raise Form("opening")
                if before is not None and (n, name) <= before:
                    raise Form("order")
                commitment = sha(b"yagura/opening/v1\n", bytes([len(name)]), name, bytes.fromhex(salt), one["value"].encode())
            except (Form, KeyError, TypeError, AttributeError, ValueError):
                self.integrity.bad("opening-form")
                continue
            before = (n, name)
            openings.setdefault(n, []).append((field, commitment.hex()))
        return openings

    def compare(self, checkpoints, complete, size):
        verdict, agree = self.witnesses, {}

        def agrees(name, size, at):
            if name in self.policy.witnesses:
                agree[name] = max(agree.get(name, (0, -1)), (size, -1 if at is None else at))

        claims = [dict(seen, counts=True) for seen in self.given] + self.claims
        for holder, note in self.notes:
            if note.origin != self.note_origin:
                verdict.doubt("note-origin", None, note.origin)
                continue
            held = [(holder, None)] if holder else []
            for name, key in self.policy.witnesses.items():
                at = key.of(note) if key else None
                if at is False:
                    verdict.bad("cosignature", None, name)
                elif at is not None:
                    held.append((name, at * 1000))
            claims += [{"witness": name, "size": note.size, "root": note.root, "at": at, "counts": True} for name, at in held]
        for line in self.lines("seen.jsonl", 4096, verdict):
            try:
                one = canonical(line) if line is not None else None
            except Form:
                one = {}
            if one is None:
                break
            good = isinstance(one, dict) and set(one) == {"at", "root", "size", "witness"} and type(one["at"]) is int
            if good and isinstance(one["witness"], str) and type(one["size"]) is int and one["size"] > 0 and is_hash(one["root"]):
                claims.append(dict(one, root=bytes.fromhex(one["root"])))
            else:
                verdict.doubt("leaf-form", None, "seen.jsonl")
        for claim in claims:
            told, leaf = f'{claim["witness"]} {claim["size"]}', claim.get("leaf")
            if claim["size"] > size:
                verdict.add("bad" if complete else "doubt", "larger" if complete else "unread", leaf, told)
            elif claim["root"] != self.tree.root(claim["size"]):
                verdict.bad("differs", leaf, told)
            elif claim.get("counts"):
                agrees(claim["witness"], claim["size"], claim["at"])
        for note in checkpoints:
            if note.size <= size and note.root == self.tree.root(note.size):
                for name, key in self.policy.witnesses.items():
                    at = key.of(note) if key else None
                    if at is False:
                        verdict.bad("cosignature", None, name)
                    elif at is not None:
                        agrees(name, note.size, at * 1000)
        if not complete:
            verdict.doubt("unread", size)
        for name, (seen, at) in sorted(agree.items(), key=lambda one: one[1], reverse=True):
            verdict.add("remark", "agrees", None, f"{name} {seen}" + ("" if at < 0 else f" {shown(at)}"))
        if self.policy.quorum is None:
            verdict.doubt("no-quorum")
        elif len(agree) < self.policy.quorum:
            verdict.doubt("few", None, f"{len(agree)} < {self.policy.quorum}")


def read_file(name, most):
    with open(name, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Form(f"{name}: too long")
    return data


def read_seen(name):
    found = []
    for line in read_file(name, 1 << 25).splitlines(keepends=True):
        one = canonical(line[:-1]) if line.endswith(b"\n") else None
        good = isinstance(one, dict) and set(one) == {"at", "root", "size", "witness"} and type(one["at"]) is int
        if not good or not isinstance(one["witness"], str) or type(one["size"]) is not int or one["size"] < 1 or not is_hash(one["root"]):
            raise Form(name)
        found.append(dict(one, root=bytes.fromhex(one["root"])))
    return found


def read_notes(argument):
    name, cut, file = argument.rpartition("=")
    parts = re.split(rb"(?<=\n)---\n", read_file(file, 1 << 25))
    return [(name if cut else None, Note(part)) for part in parts if part]


def main(arguments):
    policy, seen, notes, until, gap, as_json, folders = Policy(), [], [], int(time.time() * 1000), 60, False, []
    arguments = list(arguments)
    while arguments:
        word = arguments.pop(0)
        if word in ("--help", "-h"):
            print(__doc__)
            return 0
        if word == "--json":
            as_json = True
            continue
        if not word.startswith("--"):
            folders.append(word)
            continue
        if not arguments:
            raise Form(f"{word} needs a value")
        value = arguments.pop(0)
        if word == "--policy":
            policy = Policy(read_file(value, 1 << 22).decode("utf-8"))
        elif word == "--note":
            notes += read_notes(value)
        elif word == "--seen":
            seen += read_seen(value)
        elif word == "--until":
            until = moment(value)
        elif word == "--gap":
            gap = decimal(value)
        else:
            raise Form(f"{word} is unknown; see --help")
    if len(folders) != 1 or not os.path.isdir(folders[0]):
        raise Form("which export? see --help")
    named = [name for name, _ in notes if name] + [one["witness"] for one in seen]
    if any(name not in policy.witnesses for name in named):
        raise Form("the policy has no such witness")
    check = Check(folders[0], policy, seen, notes, until, gap * 60_000)
    verdicts = check.run()
    answers = [verdict.answer() for verdict in verdicts.values()]
    code = 1 if "bad" in answers else 2 if "cannot tell" in answers else 0
    size = check.tree.size()
    if as_json:
        out = {"exit": code, "origin": check.origin or check.note_origin, "size": size, "root": check.tree.root(size).hex(), "verdicts": {}}
        for name, verdict in verdicts.items():
            findings = [{"code": word, "detail": detail, "weight": weight, **({} if leaf is None else {"leaf": leaf})}
                        for weight in verdict.found for word, leaf, detail in verdict.found[weight][:SHOWN]]
            more = {weight: max(0, len(found) - SHOWN) for weight, found in verdict.found.items()}
            out["verdicts"][name] = {"answer": verdict.answer(), "findings": findings, "more": more}
        print(json.dumps(out, ensure_ascii=False, sort_keys=True))
        return code
    words = {"good": "良 GOOD", "bad": "不良 BAD", "cannot tell": "判定できない（良ではない） CANNOT TELL (not good)"}
    print(check.origin or check.note_origin, size, check.tree.root(size).hex())
    for (name, verdict), ja in zip(verdicts.items(), ("改ざんなし", "欠落なし", "外部照合")):
        print(f"\n{ja} {name}: {words[verdict.answer()]}")
        for weight, mark in (("bad", "×"), ("doubt", "?"), ("remark", "-")):
            for word, leaf, detail in verdict.found[weight][:SHOWN]:
                place = "" if leaf is None else f"[{leaf}] "
                print("  ", mark, place + word, "".join(one if one.isprintable() else "?" for one in detail)[:300])
            if len(verdict.found[weight]) > SHOWN:
                print(f"   {mark} … +{len(verdict.found[weight]) - SHOWN}")
    print(f"\n総合 all: {words['good' if code == 0 else 'bad' if code == 1 else 'cannot tell']}")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Form, OSError, UnicodeDecodeError) as why:
        print(f"判定できない / cannot tell: {why}", file=sys.stderr)
        sys.exit(2)
