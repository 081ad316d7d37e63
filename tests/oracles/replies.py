#!/usr/bin/env python3
r"""Holds the examples that say `vendor-specification` against the vendors' own SDKs, which are made from the specifications.

    python3 -m venv /tmp/oracles
    /tmp/oracles/bin/pip install botocore cloudflare tencentcloud-sdk-python-dnspod tencentcloud-sdk-python-teo \
        alibabacloud_alidns20150109 alibabacloud_esa20240910 huaweicloudsdkdns oci azure-mgmt-dns google-api-python-client
    /tmp/oracles/bin/python tests/oracles/replies.py

Every reply of a successful call must be read by the SDK's model of that call, with no field that the model does not know.
"""

import json
import pathlib
import re
import sys
import tomllib

EXAMPLES = pathlib.Path(__file__).parent.parent / "providers"
problems, checked = [], {}


def exchanges(provider):
    for case in tomllib.loads((EXAMPLES / f"{provider}.toml").read_text())["case"]:
        for exchange in case.get("exchange", []):
            if exchange.get("origin", case["origin"]) == "vendor-specification" and exchange.get("status", 200) < 300:
                yield case["name"], exchange


def expect(provider, name, is_right, why):
    checked[provider] = checked.get(provider, 0) + 1
    if not is_right:
        problems.append(f"{provider}: {name}: {why}")


def unknown(reply, known, path=""):
    """Keys of `reply` that are not in `known` (the same reply, read and written again by the SDK)."""
    if isinstance(reply, dict) and isinstance(known, dict):
        return [p for k, v in reply.items() for p in ([f"{path}.{k}"] if k not in known else unknown(v, known[k], f"{path}.{k}"))]
    if isinstance(reply, list) and isinstance(known, list):
        return [p for a, b in zip(reply, known) for p in unknown(a, b, f"{path}[]")]
    return []


def alibaba(provider, models):
    for name, exchange in exchanges(provider):
        action = exchange.get("headers", {}).get("x-acs-action")
        if action is None:
            continue
        reply = json.loads(exchange["reply"])
        again = getattr(models, f"{action}ResponseBody")().from_map(reply).to_map()
        expect(provider, f"{name}: {action}", not unknown(reply, again), unknown(reply, again))


def alidns():
    from alibabacloud_alidns20150109 import models

    alibaba("alidns", models)


def tencent(provider, models, errorcodes):
    codes = {value for key, value in vars(errorcodes).items() if key.isupper()}
    for name, exchange in exchanges(provider):
        action = exchange.get("headers", {}).get("X-TC-Action")
        if action is None:
            continue
        reply = json.loads(exchange["reply"])["Response"]
        if "Error" in reply:
            expect(provider, f"{name}: {action}", reply["Error"]["Code"] in codes, f"unknown code {reply['Error']['Code']}")
            continue
        model = getattr(models, f"{action}Response")()
        model._deserialize(reply)
        lost = unknown(reply, json.loads(model.to_json_string()))
        expect(provider, f"{name}: {action}", not lost, f"lost {lost}")


def tencentcloud():
    from tencentcloud.dnspod.v20210323 import errorcodes, models

    tencent("tencentcloud", models, errorcodes)


def route53():
    import botocore.session
    from botocore.parsers import create_parser

    service = botocore.session.get_session().get_service_model("route53")
    parser = create_parser("rest-xml")
    for name, exchange in exchanges("route53"):
        request = exchange["request"]
        action = ("ListHostedZonesByName" if "hostedzonesbyname" in request
                  else "ListResourceRecordSets" if request.startswith("GET") else "ChangeResourceRecordSets")
        shape = service.operation_model(action).output_shape
        parsed = parser.parse({"status_code": 200, "headers": {}, "body": exchange["reply"].encode()}, shape)
        # Every value of the reply must have arrived somewhere.
        texts = [t for t in re.findall(r">([^<>]+)<", exchange["reply"]) if t.strip()]
        flat = json.dumps(parsed, default=str)
        import html
        missing = [t for t in texts if json.dumps(html.unescape(t))[1:-1] not in flat and t not in ("true", "false") and "T03:04:05" not in t]
        lacking = [key for key in shape.required_members if key not in parsed]
        expect("route53", f"{name}: {request}", not missing and not lacking, f"lost {missing}, lacking {lacking}")


def cloudflare():
    from cloudflare.types.dns import record_response
    from cloudflare.types.zones import Zone
    from typing import get_args

    kinds = {"TXT": record_response.TXTRecord, "CNAME": record_response.CNAMERecord}
    for name, exchange in exchanges("cloudflare"):
        result = json.loads(exchange["reply"])["result"]
        for item in result if isinstance(result, list) else [result]:
            model = kinds.get(item.get("type")) or (Zone if "name" in item else None)
            if model is None:
                continue  # a deletion's {"id": …}
            unknown_fields = set(item) - {field.alias or key for key, field in model.model_fields.items()}
            expect("cloudflare", f"{name}: {exchange['request']}", not unknown_fields, f"unknown fields {unknown_fields}")
            if model is not Zone:
                lacking = [key for key, field in model.model_fields.items() if field.is_required() and (field.alias or key) not in item]
                expect("cloudflare", name, not lacking, f"lacking {lacking}")


def aliesa():
    from alibabacloud_esa20240910 import models

    alibaba("aliesa", models)


def edgeone():
    from tencentcloud.teo.v20220901 import errorcodes, models

    tencent("edgeone", models, errorcodes)


def lightsail():
    import botocore.session
    from botocore.parsers import create_parser

    service = botocore.session.get_session().get_service_model("lightsail")
    parser = create_parser("json")
    for name, exchange in exchanges("lightsail"):
        action = exchange.get("headers", {}).get("X-Amz-Target", ".").split(".")[1]
        if not action:
            continue
        sent = set(exchange["json"]) - set(service.operation_model(action).input_shape.members)
        parsed = parser.parse({"status_code": 200, "headers": {}, "body": exchange["reply"].encode()}, service.operation_model(action).output_shape)
        lost = unknown(json.loads(exchange["reply"]), parsed)
        expect("lightsail", f"{name}: {action}", not lost and not sent, f"lost {lost}, unknown in the request {sent}")


def huaweicloud():
    from huaweicloudsdkdns.v2 import model

    def fields(kind, item):
        return set(item) - set(kind.attribute_map.values())

    for name, exchange in exchanges("huaweicloud"):
        reply, request = json.loads(exchange["reply"]), exchange["request"]
        for key, kind in (("zones", model.PublicZoneResp), ("recordsets", model.ShowRecordSetByZoneResp)):
            for item in reply.get(key, []):
                expect("huaweicloud", f"{name}: {request}", not fields(kind, item), f"unknown {fields(kind, item)}")
        if request.startswith(("POST", "PUT")):
            lost = fields(model.CreateRecordSetResponse, reply)
            sent = fields(model.CreateRecordSetRequestBody, exchange["json"])
            expect("huaweicloud", f"{name}: {request}", not lost and not sent, f"unknown {lost}, in the request {sent}")


def oraclecloud():
    from oci.dns import models

    for name, exchange in exchanges("oraclecloud"):
        reply = json.loads(exchange["reply"])
        items = reply["items"] if "items" in reply else [reply]
        kind = models.Record if "items" in reply else models.Zone
        for item in items:
            lost = set(item) - set(kind().attribute_map.values())
            expect("oraclecloud", f"{name}: {exchange['request']}", not lost, f"unknown {lost}")
        for item in exchange.get("json", {}).get("items", []):
            sent = set(item) - set(models.RecordOperation().attribute_map.values())
            expect("oraclecloud", f"{name}: {exchange['request']}", not sent, f"unknown in the request {sent}")


def azuredns():
    from azure.mgmt.dns import models

    def names(kind):
        return {part.split(".")[-1] for value in kind._attribute_map.values() for part in [value["key"].replace("\\.", "_")]}

    for name, exchange in exchanges("azuredns"):
        if not exchange.get("reply") or "/token" in exchange["request"]:
            continue
        reply = json.loads(exchange["reply"])
        kind = models.Zone if "/dnsZones?" in exchange["request"] else models.RecordSet
        for item in reply.get("value", [reply]):
            lost = set(item.get("properties", {})) | (set(item) - {"properties"})
            lost -= names(kind)
            expect("azuredns", f"{name}: {exchange['request']}", not lost, f"unknown {lost}")


def gcloud():
    from googleapiclient import discovery_cache

    path = pathlib.Path(discovery_cache.__file__).parent / "documents" / "dns.v1.json"
    schemas = json.loads(path.read_text())["schemas"]

    def lost(item, schema):
        properties, found = schemas[schema]["properties"], []
        for key, value in item.items():
            kind = properties.get(key)
            if kind is None:
                found.append(f"{schema}.{key}")
            elif "$ref" in kind:
                found += lost(value, kind["$ref"])
            elif "$ref" in kind.get("items", {}):
                found += [path for each in value for path in lost(each, kind["items"]["$ref"])]
        return found

    for name, exchange in exchanges("gcloud"):
        request = exchange["request"]
        if request == "POST /token":
            continue
        schema = "ResourceRecordSetsListResponse" if "/rrsets" in request else "Change" if "/changes" in request else "ManagedZonesListResponse"
        unknown_fields = lost(json.loads(exchange["reply"]), schema) + (lost(exchange["json"], "Change") if "json" in exchange else [])
        expect("gcloud", f"{name}: {request}", not unknown_fields, f"unknown {unknown_fields}")


for check in (alidns, tencentcloud, route53, cloudflare, aliesa, edgeone, lightsail, huaweicloud, oraclecloud, azuredns, gcloud):
    check()
print(", ".join(f"{provider}: {count} checks" for provider, count in checked.items()))
print("\n".join(problems))
sys.exit(bool(problems))
