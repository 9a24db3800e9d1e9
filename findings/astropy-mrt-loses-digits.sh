#!/usr/bin/env bash
# astropy's writer of machine-readable tables rounds a column to one digit when one value is tiny.
#
# Expected: a float column written as `ascii.mrt`, the table format of the AAS journals, comes
# back as it was, as it does from ECSV.
#
# Seen: when one value prints with an exponent, the whole column is written in E format, with only
# as many digits as the values with an exponent need. Next to 1e-05, an effective temperature of
# 5777.123 K comes back as 6000 K and an abundance uncertainty of 0.1234 as 0.1. There is no
# warning. Next to 1e-04, which prints without an exponent, both keep all their digits.
#
# Versions: astropy 8.0.2, numpy 2.4.6 (Python 3.11). Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 astropy==8.0.2

cat > check.py <<'PYTHON'
import warnings

from astropy.table import Table

for values in ([1e-4, 5777.123], [1e-5, 5777.123], [1e-4, 0.1234], [1e-5, 0.1234], [-1e-5, -3.21456]):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Table({"value": values}).write("table.txt", format="ascii.mrt", overwrite=True)
    with open("table.txt") as file:
        format_code = next(line for line in file if " value " in line).split("---")[0].split()[-1]
    back = [float(value) for value in Table.read("table.txt", format="ascii.mrt")["value"]]
    print(f"wrote {values} as {format_code}, read {back}, warnings: {len(caught)}")
PYTHON

cat > expected.txt <<'TEXT'
wrote [0.0001, 5777.123] as F9.4, read [0.0001, 5777.123], warnings: 0
wrote [1e-05, 5777.123] as E5.1, read [1e-05, 6000.0], warnings: 0
wrote [0.0001, 0.1234] as F6.4, read [0.0001, 0.1234], warnings: 0
wrote [1e-05, 0.1234] as E5.1, read [1e-05, 0.1], warnings: 0
wrote [-1e-05, -3.21456] as E7.1, read [-1e-05, -3.0], warnings: 0
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
