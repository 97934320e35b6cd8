"""Writes the golden specifications anew: `python -m tests.sandbox.write_golden`, after a change that was meant."""

import json

from sandbox.airlock import inner
from tests.sandbox.test_specs import GOLDEN, outer

for name, spec in (("inner", inner.inner_spec()), ("outer", outer())):
    (GOLDEN / f"{name}.json").write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
