#!/usr/bin/env python3
"""Takes the part of x509-limbo that ../limbo.rs runs out of the suite's limbo.json: convert.py LIMBO.JSON > cases.json

All cases of its own; of BetterTLS, which has thousands that are alike, every 4th of path building and every 100th of name constraints.
Each certificate stands once; keys, descriptions and what is the same everywhere are left out.
"""
import json
import re
import sys

NOW = "2026-07-01T00:00:00+00:00"  # for cases that are to be judged "now"


def base64_of(pem):
    return re.sub(r"-----[^-]+-----|\s", "", pem)


def chosen(cases):
    seen = {}
    for case in cases:
        group = "::".join(case["id"].split("::")[:2])
        every = {"bettertls::pathbuilding": 4, "bettertls::nameconstraints": 100}.get(group, 1)
        seen[group] = seen.get(group, -1) + 1
        if seen[group] % every == 0:
            yield case


certificates = {}


def place(pem):
    return certificates.setdefault(base64_of(pem), len(certificates))


cases = []
for case in chosen(json.load(open(sys.argv[1]))["testcases"]):
    name = case["expected_peer_name"] or {}
    compact = {
        "id": case["id"],
        "client": case["validation_kind"] == "CLIENT",
        "succeeds": case["expected_result"] == "SUCCESS",
        "time": case["validation_time"] or NOW,
        "anchors": [place(pem) for pem in case["trusted_certs"]],
        "chain": [place(pem) for pem in [case["peer_certificate"], *case["untrusted_intermediates"]]],
        "name": name.get("value"),
        "crls": [base64_of(pem) for pem in case["crls"]],
        "needs": [key for key in ("max_chain_depth", "signature_algorithms", "key_usage", "expected_peer_names") if case[key] not in (None, [])],
    }
    cases.append({key: value for key, value in compact.items() if value not in (None, [], False)})

print('{"certificates": [')
print(",\n".join(json.dumps(text) for text in certificates))
print('],\n"cases": [')
print(",\n".join(json.dumps(case) for case in cases))
print("]}")
