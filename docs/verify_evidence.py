#!/usr/bin/env python3
"""Checks a Watchpost evidence file without Watchpost: python3 verify_evidence.py FILE ROOT.crt [TENANT]

Python's standard library and the openssl program, nothing else; docs/evidence.md explains the format. Prints what is
proved and ends with 0, or names what is wrong and ends with 1.
"""
import base64, datetime, hashlib, json, os, struct, subprocess, sys, tempfile

b64 = base64.b64decode
sha = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
folder = tempfile.TemporaryDirectory()

def fail(what): sys.exit("the evidence does not hold: " + what)
def check(holds, what): holds or fail(what)

def put(name, data):
    path = os.path.join(folder.name, name)
    with open(path, "wb") as file: file.write(data)
    return path

def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True)
    return done.stdout if done.returncode == 0 else None

def fields(data):  # a protobuf message: the last value of each field, all values of field n at -n
    found, at = {}, 0
    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128: return value
    while at < len(data):
        tag = varint()
        value = varint()
        if tag & 7 == 2: value, at = data[at:at + value], at + value
        elif tag & 7 != 0: fail("a message cannot be read")
        found[tag >> 3] = value
        found.setdefault(-(tag >> 3), []).append(value)
    return found

def framed(domain, *parts):
    return b"".join(struct.pack(">Q", len(part)) + part for part in (domain.encode(), *parts))

def included(leaf, index, size, path, root):  # RFC 9162, 2.1.3.2
    if not 0 <= index < size: return False
    last, hash = size - 1, leaf
    for sibling in map(b64, path):
        if last == 0: return False
        if index & 1 or index == last:
            hash = sha(b"\1", sibling, hash)
            while not index & 1 and index: index, last = index >> 1, last >> 1
        else: hash = sha(b"\1", hash, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and hash == root

def chain(ders, at_ms, *purpose):  # leaf first; leads to the root, at that moment, for that purpose
    pems = [openssl("x509", "-inform", "DER", "-in", put("c.der", der)) or fail("a certificate") for der in ders]
    leaf, rest = put("leaf.pem", pems[0]), put("rest.pem", b"".join(pems[1:]))
    return openssl("verify", "-no-CApath", "-no-CAstore", "-CAfile", root_file, "-untrusted", rest, "-attime", str(at_ms // 1000), *purpose, leaf)

def key_of(der):  # public key and the names of a certificate
    pem = openssl("x509", "-inform", "DER", "-in", put("c.der", der), "-pubkey", "-noout") or fail("a certificate")
    names = openssl("x509", "-inform", "DER", "-in", put("c.der", der), "-noout", "-ext", "subjectAltName")
    return pem, names.decode()

def signed(pem, message, signature):  # ECDSA P-256 with SHA-256
    args = ["-verify", put("k.pem", pem), "-signature", put("s", signature), put("m", message)]
    return openssl("dgst", "-sha256", *args) is not None

def entry(proof, kind, what):  # an entry of the log; its header
    check(proof["kind"] == kind, what + ": its kind")
    salt, header = b64(proof["salt"]), b64(proof["header"])
    digest = sha(framed("watchpost/log-entry", struct.pack(">I", kind), salt, header))
    check(included(sha(b"\0", digest), proof["entry"], size, proof["path"], root), what + ": it is not in the log")
    return fields(header)

file, root_file = sys.argv[1:3]
evidence = json.load(open(file, encoding="utf-8"))
tenant = sys.argv[3] if len(sys.argv) > 3 else evidence["tenant"]
check(evidence["format"] == "watchpost-evidence/1", "format")
# One log, or several one after another.
keys, told, ids, seen, before = {}, [], set(), set(), None
for log, part in enumerate(evidence.get("earlier", []) + [evidence]):
    # The checkpoint: origin, size, root; the log's Ed25519 key signs these three lines.
    body, _, lines = part["checkpoint"].partition("\n\n")
    origin, size, root = body.split("\n")
    size, root = int(size), b64(root)
    # The first entry introduces that key, signed by a collector under the root.
    opened = entry(part["log"], 1, "log")
    check(part["log"]["entry"] == 0, "log: it is not the first entry")
    signed_key, ders = fields(opened[1]), opened[-2]
    log_key = fields(signed_key[1])
    pem, names = key_of(ders[0])
    check(chain(ders, log_key[6], "-purpose", "sslserver", "-verify_hostname", "uplink.watchpost.internal"), "log: its chain")
    check("URI:spiffe://%s/collector/" % tenant in names, "log: it is another tenant's")
    check(signed(pem, framed("watchpost/log-key", signed_key[1]), signed_key[2]), "log: its signature")
    check(log_key[4].decode() == origin == "watchpost/%s/%s" % (tenant, log_key[3].hex()), "checkpoint: its origin")
    # Where the collector was restored, it names the log before it as that ended.
    check(not before or before == (log_key.get(7), log_key.get(8, 0), log_key.get(9)), "log: it names the log before it otherwise")
    before = log_key[3], size, root
    ed25519 = put("e.der", bytes.fromhex("302a300506032b6570032100") + log_key[5])
    def of_log(line):
        name, _, signature = line[2:].rpartition(" ")
        signature = b64(signature)
        return name == origin and signature[:4] == sha(origin.encode(), b"\n\1", log_key[5])[:4] and openssl(
            "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", ed25519, "-rawin",
            "-in", put("m", (body + "\n").encode()), "-sigfile", put("s", signature[4:])) is not None
    check(any(of_log(line) for line in lines.splitlines()), "checkpoint: its signature")
    # Each device key was introduced with a chain that was a device's at that time.
    for number, proof in enumerate(part["keys"]):
        what, event = "keys[%d]" % number, entry(proof, 2, "keys[%d]" % number)
        pem, names = key_of(event[-3][0])
        device = event[1].hex()
        uuid = "-".join((device[:8], device[8:12], device[12:16], device[16:20], device[20:]))
        check(chain(event[-3], event[4], "-purpose", "sslclient"), what + ": its chain")
        check("URI:spiffe://%s/device/%s" % (tenant, uuid) in names, what + ": it is another device's")
        check(sha(openssl("pkey", "-pubin", "-in", put("k.pem", pem), "-outform", "DER")) == event[2], what + ": its key")
        keys[event[1], event[2]] = pem, (log, proof["entry"]), uuid
    # Each segment's statement is signed with such a key, and each record lies below the statement's root.
    for number, segment in enumerate(part["segments"]):
        what, proof = "segments[%d]" % number, segment["proof"]
        header = entry(proof, 3, what)
        statement = fields(header[1])
        pem, introduced, uuid = keys.get((statement[4], statement[5])) or fail(what + ": its key")
        check(statement[3].decode() == tenant and introduced < (log, proof["entry"]), what + ": its tenant or key")
        check(signed(pem, framed("watchpost/statement", header[1]), header[2]), what + ": its signature")
        for place, record in enumerate(segment["records"]):
            data, at = b64(record["bytes"]), "%s.records[%d]" % (what, place)
            leaf = sha(b"\0", data)
            check(included(leaf, record["place"], statement[9], record["path"], statement[11]), at + ": it was not signed")
            finding = fields(fields(data[16:])[10])
            check(not finding.get(40) and finding.get(9) == 1, at + ": it is withdrawn, or of a rule that is not live")
            check((header[1], record["place"]) not in seen, at + ": it is there twice")
            seen.add((header[1], record["place"]))
            day = (finding.get(21, 0) + 8 * 3600000) // 86400000
            told.append((uuid, header[4], finding.get(20, b"").decode(), finding[1]))
            ids.add((finding.get(3, b""), finding.get(6, b""), finding.get(11, b""), day))
check(told and len(ids) == 1, "segments: the records are not of one alert")
# The alert's id is the finding that opened it, hashed on where an older alert had that id.
pack, rule, person, day = ids.pop()
date = (datetime.date(1970, 1, 1) + datetime.timedelta(day)).isoformat()
key = b"".join(b"%d:%s" % (len(part), part) for part in (pack, rule, person)) + date.encode()
def opens(id):
    for _ in range(64):
        if id.hex() == evidence["alert"]: return True
        id = sha(framed("watchpost/alert", id, key))
check(any(opens(finding) for *_, finding in told), "alert: no record has opened it")
for uuid, received, msgid, _ in told:
    time = datetime.datetime.fromtimestamp(received / 1000, datetime.timezone.utc)
    print("device %s, received %s, message %r" % (uuid, time.isoformat(timespec="seconds"), msgid))
print("the evidence holds: %d records, log %s of %d entries" % (len(told), origin, size))
