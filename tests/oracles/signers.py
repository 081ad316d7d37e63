#!/usr/bin/env python3
r"""Makes tests/data/signers/*.json: requests signed by the vendors' own SDKs.

    python3 -m venv /tmp/oracles
    /tmp/oracles/bin/pip install botocore tencentcloud-sdk-python-common alibabacloud_tea_openapi \
        huaweicloudsdkcore volcengine bce-python-sdk edgegrid-python oci google-auth jdcloud_sdk yandexcloud python-transip ucloud-sdk-python3
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


QUERIES = [
    ("list", "GET", "/v2/zones", {"name": "example.com", "limit": "10"}, ""),
    ("escapes", "GET", "/v2/zones/a%20b", {"z": "1 2", "a": "é~*", "B": "/+="}, ""),
    ("write", "POST", "/v2/zones/Z1/recordsets", {}, '{"name": "_dv.example.com.", "records": ["\\"é&b\\""]}'),
    ("replace", "PUT", "/v2/zones/Z1/recordsets/7", {"clientToken": "x"}, '{"ttl": 300}'),
    ("remove", "DELETE", "/v2/zones/Z1/recordsets/7", {}, ""),
]


def joined(host, path, query):
    from urllib.parse import quote

    text = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in query.items())
    return f"https://{host}{path}" + (f"?{text}" if text else "")


def huawei():
    from huaweicloudsdkcore.sdk_request import SdkRequest
    from huaweicloudsdkcore.signer.signer import Signer

    class Fixed(datetime.datetime):
        now = None

        @classmethod
        def utcnow(cls):
            return cls.now

    host, vectors = "dns.cn-north-4.myhuaweicloud.com", []
    for time in TIMES:
        Fixed.now = instant(time)
        for name, method, path, query, body in QUERIES:
            headers = {"Content-Type": "application/json"} if body else {}
            request = SdkRequest(method=method, schema="https", host=host, resource_path=path, uri=None,
                                 query_params=list(query.items()), header_params=dict(headers), body=body, stream=False, signing_algorithm=None)
            with mock.patch("huaweicloudsdkcore.signer.signer.datetime", Fixed):
                Signer(types.SimpleNamespace(ak="AKEXAMPLE", sk="skEXAMPLE")).sign(request)
            vectors.append(dict(
                name=name, method=method, url=joined(host, path, query), headers=list(headers.items()), body=body,
                access_key="AKEXAMPLE", secret_key="skEXAMPLE", token=None, time=time,
                authorization=request.header_params["Authorization"],
            ))
    write("huawei", version("huaweicloudsdkcore"), vectors)


def volcengine():
    from volcengine.auth.SignerV4 import SignerV4
    from volcengine.base.Request import Request
    from volcengine.Credentials import Credentials

    host, vectors = "open.volcengineapi.com", []
    cases = [
        ("list", "GET", {"Action": "ListZones", "Version": "2018-08-01", "Key": "example.com"}, "", ""),
        ("escapes", "GET", {"Action": "ListRecords", "Version": "2018-08-01", "Host": "é ~*/+"}, "", ""),
        ("write", "POST", {"Action": "CreateRecord", "Version": "2018-08-01"}, '{"Value": "é&b"}', ""),
        ("temporary credentials", "POST", {"Action": "DeleteRecord", "Version": "2018-08-01"}, '{"RecordID": "7"}', TOKEN),
    ]
    for time in TIMES:
        for name, method, query, body, token in cases:
            request = Request()
            request.method, request.path, request.host, request.query, request.body = method, "/", host, dict(query), body
            request.headers = {"Host": host}
            if method == "POST":
                request.headers["Content-Type"] = "application/json"
            with mock.patch.object(SignerV4, "get_current_format_date", staticmethod(lambda: instant(time).strftime("%Y%m%dT%H%M%SZ"))):
                SignerV4.sign(request, Credentials("AKLTEXAMPLE", "skEXAMPLE==", "DNS", "cn-north-1", token))
            vectors.append(dict(
                name=name, method=method, url=joined(host, "/", query), body=body,
                headers=[["Content-Type", "application/json"]] if method == "POST" else [],
                access_key="AKLTEXAMPLE", secret_key="skEXAMPLE==", token=token or None, service="DNS", region="cn-north-1",
                time=time, authorization=request.headers["Authorization"],
            ))
    write("volcengine", version("volcengine"), vectors)


def baidu():
    from baidubce.auth import bce_v1_signer
    from baidubce.auth.bce_credentials import BceCredentials

    host, vectors = "dns.baidubce.com", []
    for time in TIMES:
        seconds = int(instant(time).replace(tzinfo=datetime.timezone.utc).timestamp())
        for name, method, path, query, body in QUERIES:
            for token in (None, TOKEN):
                headers = {b"host": host.encode(), b"x-bce-date": time.encode()}
                if token:
                    headers[b"x-bce-security-token"] = token.encode()
                authorization = bce_v1_signer.sign(
                    BceCredentials("AKEXAMPLE", "skEXAMPLE"), method.encode(), path.encode(), headers,
                    {k.encode(): v.encode() for k, v in query.items()}, seconds, 1800, sorted(headers),
                )
                vectors.append(dict(
                    name=name, method=method, url=joined(host, path, query), headers=[], body=body,
                    access_key="AKEXAMPLE", secret_key="skEXAMPLE", token=token, time=time, authorization=authorization.decode(),
                ))
    write("baidu-bce", version("bce-python-sdk"), vectors)


def edgegrid():
    import requests
    from akamai.edgegrid.edgegrid import EdgeGridAuthHeaders

    host, vectors = "akab-example.luna.akamaiapis.net", []
    for time in TIMES:
        for name, method, path, query, body in QUERIES:
            url, nonce = joined(host, path, query), "0123456789abcdef0123456789abcdef"
            request = requests.Request(method, url, data=body.encode() or None).prepare()
            headers = EdgeGridAuthHeaders("akab-client", "clientsecret/EXAMPLE=", "akab-access")
            authorization = headers.make_auth_header(request, instant(time).strftime("%Y%m%dT%H:%M:%S+0000"), nonce)
            vectors.append(dict(
                name=name, method=method, url=url, headers=[], body=body, access_key="akab-client",
                secret_key="clientsecret/EXAMPLE=", token="akab-access", time=time, nonce=nonce, authorization=authorization,
            ))
    write("edgegrid", version("edgegrid-python"), vectors)


def jdcloud():
    from jdcloud_sdk.core.credential import Credential
    from jdcloud_sdk.core.signer import Signer

    host, vectors = "domainservice.jdcloud-api.com", []
    for time in TIMES:
        for name, method, path, query, body in QUERIES:
            if name == "escapes":
                # The SDK reads `+` in a path and query as a space.
                query = {"z": "1 2", "a": "~*"}
            url, nonce = joined(host, path, query), "0123456789abcdef0123456789abcdef"
            headers = {"Content-Type": "application/json"}
            signed = dict(headers, **{"x-jdcloud-date": instant(time).strftime("%Y%m%dT%H%M%SZ"), "x-jdcloud-nonce": nonce})
            logger = types.SimpleNamespace(log=lambda *all: None)
            Signer(logger).sign(method, "domainservice", "cn-north-1", url, signed, body, Credential("AKEXAMPLE", "skEXAMPLE"), "")
            vectors.append(dict(
                name=name, method=method, url=url, headers=list(headers.items()), body=body, access_key="AKEXAMPLE",
                secret_key="skEXAMPLE", token=None, service="domainservice", region="cn-north-1", time=time, nonce=nonce,
                authorization=signed["Authorization"],
            ))
    write("jdcloud", version("jdcloud_sdk"), vectors)


def ucloud():
    """A parameter over all parameters, sorted: the kind `parameter`."""
    from ucloud.core.auth import Credential

    public, private, vectors = "pub@example.com", "46f09bb9fab4f12dfc160dae12273d5332b5debe", []
    for parameters in (
        {"Action": "UdnrDomainDNSAdd", "Dn": "example.com", "DnsType": "TXT", "RecordName": "_dv.example.com", "Content": "a&b é", "TTL": 600},
        {"Action": "UdnrDomainDNSQuery", "Dn": "example.com", "b": "", "B": "2", "a10": "x", "a1": "y"},
    ):
        parameters["PublicKey"] = public
        vectors.append(dict(private_key=private, parameters=parameters, signature=Credential(public, private).verify_ac(parameters)))
    write("parameter", version("ucloud-sdk-python3"), vectors)


def rsa_key():
    """A fresh key: PKCS #8 and PKCS #1 in PEM, and the public key (PKCS #1, DER, in hex)."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = lambda kind: key.private_bytes(s.Encoding.PEM, kind, s.NoEncryption()).decode()
    public = key.public_key().public_bytes(s.Encoding.DER, s.PublicFormat.PKCS1).hex()
    return pem(s.PrivateFormat.PKCS8), pem(s.PrivateFormat.TraditionalOpenSSL), public


def oracle(pkcs8, pkcs1):
    import oci.signer
    import requests

    host, vectors = "dns.eu-frankfurt-1.oraclecloud.com", []
    for time in TIMES:
        date = instant(time).strftime("%a, %d %b %Y %H:%M:%S GMT")
        for name, method, path, query, body in QUERIES:
            url = joined(host, path, query)
            for pem in (pkcs8, pkcs1):
                signer = oci.signer.Signer("ocid1.tenancy.oc1..t", "ocid1.user.oc1..u", "20:3b:97", None, private_key_content=pem)
                headers = {"date": date, "host": host, "content-type": "application/json"}
                request = requests.Request(method, url, data=body or None, headers=headers).prepare()
                signer(request)
                vectors.append(dict(
                    name=name, method=method, url=url, headers=[["Content-Type", "application/json"]] if body else [], body=body,
                    access_key="ocid1.tenancy.oc1..t/ocid1.user.oc1..u/20:3b:97", secret_key=pem, token=None, time=time,
                    authorization=request.headers["authorization"],
                ))
    write("oracle", version("oci"), vectors)


def tokens(pkcs8, pkcs1, public):
    """What the filters `jwt` and `rsa_sha512` make: tokens of Google and Yandex, and the signature of TransIP's login."""
    import google.auth._helpers
    import google.oauth2.service_account as google_account
    from transip.utils import generate_message_signature
    import yandexcloud._auth_fabric as yandex

    vectors = []
    for time in TIMES:
        now = instant(time)
        seconds = now.replace(tzinfo=datetime.timezone.utc).timestamp()
        account = google_account.Credentials.from_service_account_info(
            {"client_email": "dv@p.iam.gserviceaccount.com", "private_key": pkcs8, "private_key_id": "k1",
             "token_uri": "https://oauth2.googleapis.com/token"},
            scopes=["https://www.googleapis.com/auth/ndev.clouddns.readwrite"],
        )
        with mock.patch("google.auth._helpers.utcnow", return_value=now):
            token = account._make_authorization_grant_assertion().decode()
        vectors.append(dict(name="google", kind="RS256", key=pkcs8, key_id="k1", time=time, text="", want=token))
        key = {"id": "ajek1", "service_account_id": "ajes1", "private_key": pkcs8}
        with mock.patch("yandexcloud._auth_fabric.time.time", return_value=seconds):
            token = yandex.ServiceAccountAuth(key).get_token_request().jwt
        vectors.append(dict(name="yandex", kind="PS256", key=pkcs8, key_id="ajek1", time=time, text="", want=token))
        body = json.dumps({"login": "user", "nonce": time, "read_only": False})
        for pem in (pkcs8, pkcs1):
            vectors.append(dict(name="transip", kind="rsa_sha512", key=pem, key_id="", time=time, text=body,
                                want=generate_message_signature(body, pem)))
    text = json.dumps({"sdk": version("google-auth", "yandexcloud", "python-transip"), "public": public, "vectors": vectors}, indent=1)
    (OUT / "rsa.json").write_text(text + "\n")
    print(f"rsa: {len(vectors)} vectors")


aws()
aliyun()
tencent()
huawei()
volcengine()
baidu()
edgegrid()
jdcloud()
ucloud()
pkcs8, pkcs1, public = rsa_key()
oracle(pkcs8, pkcs1)
tokens(pkcs8, pkcs1, public)
