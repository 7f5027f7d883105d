"""Prints the table of a run of the Autobahn test suite; fails where a case did.

    python3 dev/conformance.py reports/index.json
"""

import json
import sys

GROUPS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Close handshake",
    "10": "Auto-fragmentation",
}
PASSED = {"OK": 0, "NON-STRICT": 1, "INFORMATIONAL": 2}


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        (cases,) = json.load(file).values()
    failed = []
    counts = {group: [0, 0, 0, 0] for group in GROUPS}
    for name, case in cases.items():
        verdicts = [case["behavior"], case["behaviorClose"]]
        # Where a case says nothing itself, how the connection closed says nothing either.
        column = max(PASSED.get(verdict, 3) for verdict in verdicts)
        counts[name.split(".")[0]][column] += 1
        if column:
            code = case["remoteCloseCode"]
            print(f"{name}: {', '.join(verdicts)}, closed with {code}", file=sys.stderr)
        if column == 3:
            failed.append(name)
    rows = [(f"{group} {title}", counts[group]) for group, title in GROUPS.items()]
    rows.append(("all", [sum(column) for column in zip(*counts.values())]))
    print("| group | cases | ok | non-strict | informational | failed |")
    print("|---|---|---|---|---|---|")
    for title, row in rows:
        print(f"| {title} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    if failed or not cases:
        print(f"failed: {' '.join(failed) or 'nothing ran'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
