"""Holds every manifest and every file of examples against the JSON schemas, with python-jsonschema.

    schema.py FOLDER-OF-THE-PROJECT

Prints how many files fit; exits with 1 and the misfits where one does not, or where something fits that must not.
"""

import json
import pathlib
import sys
import tomllib

from jsonschema import Draft7Validator

ROOT = pathlib.Path(sys.argv[1])

# Mistakes must not fit: a piece of providers/cloudflare.toml, and what is put in its place.
REFUSED = [
    ("ttl = ", "tll = "),
    ('http = "POST', 'http = "PSOT'),
    ("[delete]\n", "[delete]\nids = '.id'\n"),
    ("[create]\n", "[craete]\n"),
    ("secret = true", "secret = 1"),
]


def validator(name):
    schema = json.loads((ROOT / "docs" / name).read_text())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def misfits(validator, text):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(tomllib.loads(text))]


manifest = validator("manifest.schema.json")
wrong = []
for schema, folder in [(manifest, "providers"), (validator("examples.schema.json"), "tests/providers")]:
    files = sorted((ROOT / folder).glob("*.toml"))
    for path in files:
        wrong += [f"{path}: {misfit}" for misfit in misfits(schema, path.read_text())]
    print(f"{len(files)} files of {folder}")

text = (ROOT / "providers" / "cloudflare.toml").read_text()
for right, instead in REFUSED:
    if right not in text or not misfits(manifest, text.replace(right, instead)):
        wrong.append(f"fits, but must not: {instead!r}")

if wrong:
    sys.exit("\n".join(wrong))
