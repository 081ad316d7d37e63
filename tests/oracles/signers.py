#!/usr/bin/env python3
"""Makes tests/data/signers/*.json: requests signed by the vendors' own SDKs.

    python3 -m venv /tmp/oracles
    /tmp/oracles/bin/pip install botocore tencentcloud-sdk-python-common alibabacloud_tea_openapi
    /tmp/oracles/bin/python tests/oracles/signers.py

No network is used and no key is real. The unit tests of src/provider/manifest/sign compute each signature anew.
"""

import datetime
import importlib.metadata
import json
import pathlib
import types
from unittest import mock
from urllib.parse import urlsplit

OUT = pathlib.Path(__file__).parent.parent / "data" / "signers"
TIMES = ["2026-01-02T03:04:05Z", "2024-02-29T23:59:59Z"]
TOKEN = "FwoGZXIvYXdzEXAMPLE/token+with=signs"


def version(*packages):
    return ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)


def write(name, sdk, vectors):
    text = json.dumps({"sdk": sdk, "vectors": vectors}, indent=1, ensure_ascii=False)
    (OUT / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {len(vectors)} vectors, {sdk}")


def instant(time):
    return datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ")


def aws():
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    base = "https://route53.amazonaws.com/2013-04-01"
    xml = '<?xml version="1.0"?><Change><Name>_dv.example.com.</Name><Value>"a&amp;b é"</Value></Change>'
    cases = [
        ("list zones", "GET", f"{base}/hostedzonesbyname?dnsname=example.com&maxitems=10", "", None),
        ("query out of order", "GET", f"{base}/hostedzone/Z1/rrset?type=TXT&name=_dv.example.com.&maxitems=1", "", None),
        ("change", "POST", f"{base}/hostedzone/Z1/rrset/", xml, None),
        ("temporary credentials", "POST", f"{base}/hostedzone/Z1/rrset/", xml, TOKEN),
        ("escapes in path and query", "GET", f"{base}/a%20b/c%3Dd?x=1%202&y=%7E&a=%C3%A9&empty=", "", None),
        ("port", "GET", "http://127.0.0.1:8080/2013-04-01/hostedzone", "", None),
    ]
    vectors = []
    for time in TIMES:
        for name, method, url, body, token in cases:
            headers = {"Content-Type": "text/xml"} if body else {}
            request = AWSRequest(method=method, url=url, data=body.encode(), headers=dict(headers))
            signer = botocore.auth.SigV4Auth(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token), "route53", "us-east-1")
            with mock.patch("botocore.auth.get_current_datetime", return_value=instant(time)):
                signer.add_auth(request)
            vectors.append(dict(
                name=name, method=method, url=url, headers=list(headers.items()), body=body,
                access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token=token,
                service="route53", region="us-east-1", time=time, authorization=request.headers["Authorization"],
            ))
    write("aws-sigv4", version("botocore"), vectors)


def aliyun():
    from urllib.parse import quote

    from alibabacloud_tea_openapi.utils import Utils
    import hashlib

    kind = "ACS3-HMAC-SHA256"
    cases = [
        ("read", "DescribeDomainInfo", {"DomainName": "example.com"}, "", None),
        ("write", "AddDomainRecord", {"DomainName": "example.com", "RR": "_dv", "Type": "TXT", "Value": "a b+c/d=~*'\"é", "TTL": "600"}, "", None),
        ("temporary credentials", "DeleteDomainRecord", {"RecordId": "9999985"}, "", TOKEN),
        ("json body", "Something", {"b": "2", "a": "1", "B": "3"}, '{"k": "v é"}', None),
        ("empty value", "Something", {"a": "", "c": "x"}, "", None),
    ]
    vectors = []
    for time in TIMES:
        for name, action, query, body, token in cases:
            host = "alidns.aliyuncs.com"
            nonce = hashlib.md5(f"{time} {name}".encode()).hexdigest()
            headers = {"x-acs-action": action, "x-acs-version": "2015-01-09"}
            if body:
                headers["Content-Type"] = "application/json"
            payload = Utils.hex_encode(Utils.hash(body.encode(), kind))
            signed = {"host": host, "x-acs-date": time, "x-acs-signature-nonce": nonce, "x-acs-content-sha256": payload}
            signed.update({key.lower(): value for key, value in headers.items()})
            if token:
                signed["x-acs-security-token"] = token
            request = types.SimpleNamespace(method="POST", pathname="/", query=query, headers=signed)
            authorization = Utils.get_authorization(request, kind, payload, "LTAIEXAMPLE", "secretEXAMPLE")
            encoded = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in query.items())
            vectors.append(dict(
                name=name, method="POST", url=f"https://{host}/?{encoded}", headers=list(headers.items()), body=body,
                access_key="LTAIEXAMPLE", secret_key="secretEXAMPLE", token=token, time=time, nonce=nonce,
                authorization=authorization,
            ))
    write("aliyun-acs3", version("alibabacloud-tea-openapi"), vectors)


def tencent():
    from tencentcloud.common.abstract_client import AbstractClient
    from tencentcloud.common.credential import Credential
    from tencentcloud.common.http.request import RequestInternal
    from tencentcloud.common.profile.client_profile import ClientProfile

    class Dnspod(AbstractClient):
        _apiVersion = "2021-03-23"
        _endpoint = "dnspod.tencentcloudapi.com"
        _service = "dnspod"

    cases = [
        ("read", "DescribeDomain", {"Domain": "example.com"}, "", None),
        ("write", "CreateRecord", {"Domain": "example.com", "SubDomain": "_dv", "RecordLine": "默认", "Value": "a\"b", "TTL": 600}, "", None),
        ("temporary credentials", "DeleteRecord", {"Domain": "example.com", "RecordId": 7}, "", TOKEN),
        ("region", "DescribeRecordList", {"Domain": "example.com"}, "ap-guangzhou", None),
    ]
    vectors = []
    for time in TIMES:
        for name, action, parameters, region, token in cases:
            seconds = instant(time).replace(tzinfo=datetime.timezone.utc).timestamp()
            client = Dnspod(Credential("AKIDEXAMPLE", "secretEXAMPLE", token), region, ClientProfile())
            request = RequestInternal("dnspod.tencentcloudapi.com", "POST", "/")
            with mock.patch("tencentcloud.common.abstract_client.time.time", return_value=seconds):
                client._build_req_with_tc3_signature(action, parameters, request)
            vectors.append(dict(
                name=name, method="POST", url="https://dnspod.tencentcloudapi.com/",
                headers=[["Content-Type", "application/json"], ["X-TC-Action", action], ["X-TC-Version", "2021-03-23"]],
                body=request.data, access_key="AKIDEXAMPLE", secret_key="secretEXAMPLE", token=token,
                service="dnspod", region=region, time=time, authorization=request.header["Authorization"],
            ))
    write("tencent-tc3", version("tencentcloud-sdk-python-common"), vectors)


aws()
aliyun()
tencent()
