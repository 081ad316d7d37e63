"""The official chains of credentials (packages `botocore`, `google-auth` and `azure-identity`) over a table of environments, against a server of the
tests.

Usage: ambient_sdk.py SERVER_URL CASES_JSON. Each case is {"kind": "aws" or "google" or "azure", "variables": {…}}; prints one JSON object per case:
what was found, or the error. `GET /case/<number>` tells the server which case comes.
"""

import json
import os
import sys
import urllib.request

# What takes long to import; google.auth is not among it, as it reads the environment then.
import azure.identity  # noqa: F401
import botocore.session
import cryptography.hazmat.primitives.serialization  # noqa: F401
import requests

SERVER = sys.argv[1].rstrip("/")
CASES = json.load(open(sys.argv[2]))


def aws():
    found = botocore.session.Session().get_credentials()
    if found is None:
        return {"error": "no credentials"}
    found = found.get_frozen_credentials()
    return {"id": found.access_key, "secret": found.secret_key, "token": found.token}


def google():
    import google.auth
    import google.auth.transport.requests

    # For users the package does not look at the file's `token_uri`: what it would send to Google goes to the server of the tests.
    original = requests.adapters.HTTPAdapter.send

    def redirected(self, request, **kwargs):
        request.url = request.url.replace("https://oauth2.googleapis.com", SERVER)
        return original(self, request, **kwargs)

    requests.adapters.HTTPAdapter.send = redirected
    scope = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
    found, project = google.auth.default()
    # A user's token has the scopes that the user agreed to.
    if not hasattr(found, "client_secret"):
        found, project = google.auth.default(scopes=[scope])
    found.refresh(google.auth.transport.requests.Request())
    return {"token": found.token, "project": project}


def azure():
    from azure.core.pipeline.transport import RequestsTransport
    from azure.identity import DefaultAzureCredential

    # The package wants https of the authority; what it would send there goes to the server of the tests.
    authority = os.environ.get("AZURE_AUTHORITY_HOST")
    if authority:
        os.environ["AZURE_AUTHORITY_HOST"] = "https" + authority.removeprefix("http")
    original = RequestsTransport.send

    def redirected(self, request, **kwargs):
        if request.url.startswith("https://" + SERVER.removeprefix("http://")):
            request.url = "http" + request.url.removeprefix("https")
        return original(self, request, **kwargs)

    RequestsTransport.send = redirected
    others = {
        "exclude_%s_credential" % name: True
        for name in ["environment", "shared_token_cache", "visual_studio_code", "cli", "powershell", "developer_cli", "interactive_browser", "broker"]
    }
    return {"token": DefaultAzureCredential(**others).get_token("https://management.azure.com/.default").token}


def resolve(case):
    os.environ.clear()
    os.environ.update(case["variables"])
    try:
        return {"aws": aws, "google": google, "azure": azure}[case["kind"]]()
    except Exception as error:
        return {"error": "%s: %s" % (type(error).__name__, error)}


for number, case in enumerate(CASES):
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(SERVER + "/case/%d" % number).read()
    reader, writer = os.pipe()
    if os.fork() == 0:
        # What the packages log is of no interest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(writer, json.dumps(resolve(case)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        print(answer.read())
    os.wait()
