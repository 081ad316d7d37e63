"""The official SDKs of Alibaba Cloud call every operation of the sandbox's CAS, and what they parse is what the sandbox meant.

Usage: cas_sdk.py CONTROL_URL ACCESS_KEY_ID ACCESS_KEY_SECRET API_TOKEN, all of a running sandbox (its keys are no secrets).
Ends with status 0 and one line per check, or with a traceback.
"""

import datetime
import json
import re
import sys
import time
import urllib.request

from alibabacloud_cas20180713 import models as models_2018
from alibabacloud_cas20180713.client import Client as Client2018
from alibabacloud_cas20200407 import models as models_2020
from alibabacloud_cas20200407.client import Client as Client2020
from alibabacloud_tea_openapi import models as openapi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from Tea.exceptions import TeaException

try:
    from darabonba.exceptions import DaraException
except ImportError:
    DaraException = TeaException

CONTROL = sys.argv[1].rstrip("/")
KEY_ID, KEY_SECRET, API_TOKEN = sys.argv[2:5]
DEADLINE = 20
REQUEST_ID = re.compile(r"[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}")


def http(method, url, body=None, headers=None):
    """One call over plain HTTP, without the SDKs."""
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, headers or {}, method=method), timeout=10) as reply:
        return json.load(reply)


ADDRESSES = http("GET", CONTROL + "/addresses")
HOST = ADDRESSES["cas"].split("//")[1].rstrip("/")


def config(signature, secret=KEY_SECRET):
    """`v2` is what the SDK calls the RPC signature V1."""
    algorithm = {"v1": "v2", "v3": "ACS3-HMAC-SHA256"}[signature]
    return openapi.Config(
        access_key_id=KEY_ID, access_key_secret=secret, endpoint=HOST, protocol="HTTP", signature_algorithm=algorithm
    )


def new_order(generation, *domains, **traits):
    order = {"generation": generation, "domains": list(domains), "traits": traits}
    return http("POST", CONTROL + "/orders", order)["ids"][0]


def publish(name, value, record_type="TXT"):
    """Writes a record with the sandbox's DNS provider."""
    headers = {"Authorization": "Bearer " + API_TOKEN, "Content-Type": "application/json"}
    zones = http("GET", ADDRESSES["cloudflare"] + "/zones?name=example.com", headers=headers)
    records = "%s/zones/%s/dns_records" % (ADDRESSES["cloudflare"], zones["result"][0]["id"])
    reply = http("POST", records, {"type": record_type, "name": name, "content": value, "ttl": 60}, headers)
    assert reply["success"], reply


def wait_for(what, read, reached):
    """Reads until `reached`, and returns what was read."""
    end = time.monotonic() + DEADLINE
    while True:
        body = read()
        if reached(body):
            return body
        assert time.monotonic() < end, "%s: not reached, last was %s" % (what, body.to_map())
        time.sleep(0.05)


def check_pair(certificate, key):
    assert certificate.count("-----BEGIN CERTIFICATE-----") == 2, certificate
    assert certificate.endswith("-----END CERTIFICATE-----\n"), certificate
    assert key.startswith("-----BEGIN PRIVATE KEY-----\n"), "no key"


def check_id(body):
    assert REQUEST_ID.fullmatch(body.request_id), body.request_id


def check_error(what, call, code, status):
    try:
        call()
    except (TeaException, DaraException) as error:
        data = getattr(error, "data", None) or {}
        seen = getattr(error, "status_code", None) or getattr(error, "statusCode", None) or data.get("statusCode")
        assert error.code == code, "%s: %s instead of %s" % (what, error.code, code)
        assert int(seen) == status, "%s: HTTP %s instead of %s" % (what, seen, status)
        return error
    raise AssertionError("%s: no error, but %s was due" % (what, code))


def describe_dv_order_result(signature):
    client = Client2018(config(signature))
    instance = new_order("2018", "www-%s.example.com" % signature)
    request = models_2018.DescribeDVOrderResultRequest(instance_id=instance, lang="en", source_ip="192.0.2.1")

    def read():
        return client.describe_dvorder_result(request).body

    body = wait_for("a challenge", read, lambda body: body.check_value)
    assert body.order_status == "checking" and body.check_type == "DNS", body.to_map()
    assert body.check_name == "_dnsauth.www-%s.example.com" % signature, body.check_name
    assert re.fullmatch(r"20\d{6}0000000[a-z0-9]{49}", body.check_value), body.check_value
    assert body.certificate is None and body.private_key is None
    check_id(body)
    publish(body.check_name, '"%s"' % body.check_value)
    body = wait_for("the certificate", read, lambda body: body.order_status == "issued")
    check_pair(body.certificate, body.private_key)
    assert body.check_name is None and body.check_value is None
    return instance


def describe_order_instance_list(signature, instance):
    client = Client2018(config(signature))
    body = client.describe_order_instance_list(models_2018.DescribeOrderInstanceListRequest(start_index=0)).body
    rows = {row.instance_id: row for row in body.order_list}
    assert body.total_count == len(rows), body.to_map()
    row = rows[instance]
    assert (row.status, row.cert_type, row.source) == ("Issued", "DV", "BUY"), row.to_map()
    assert isinstance(row.id, int)
    check_id(body)


def describe_certificate_state(signature):
    client = Client2020(config(signature))
    order = new_order("order", "order-%s.example.com" % signature)
    request = models_2020.DescribeCertificateStateRequest(order_id=int(order))

    def read():
        return client.describe_certificate_state(request).body

    body = wait_for("a challenge", read, lambda body: body.record_value)
    assert (body.type, body.validate_type, body.record_type) == ("domain_verify", "DNS", "TXT"), body.to_map()
    assert body.record_domain == "_dnsauth.order-%s.example.com" % signature
    publish(body.record_domain, body.record_value)
    body = wait_for("the certificate", read, lambda body: body.type == "certificate")
    check_pair(body.certificate, body.private_key)
    check_id(body)

    bought = new_order("order", "bought-%s.example.com" % signature, bought=True, validation="FILE", challenge_delay_ms=0)
    file = client.describe_certificate_state(models_2020.DescribeCertificateStateRequest(order_id=int(bought))).body
    assert file.validate_type == "FILE" and file.uri.startswith("/.well-known/"), file.to_map()
    assert file.domain == "bought-%s.example.com" % signature and len(file.content) == 64
    return int(order), int(bought), body


def list_user_certificate_order(signature, order, bought, issued):
    client = Client2020(config(signature))

    def listed(kind, **more):
        request = models_2020.ListUserCertificateOrderRequest(order_type=kind, **more)
        return client.list_user_certificate_order(request).body

    row = next(row for row in listed("CPACK", status="ISSUED").certificate_order_list if row.order_id == order)
    assert row.domain == "order-%s.example.com" % signature and row.domain_type == "ONE", row.to_map()
    assert row.cert_type == "DV" and row.source_type == "cpack" and row.cert_end_time > 1_700_000_000_000, row.to_map()
    row = next(row for row in listed("BUY").certificate_order_list if row.order_id == bought)
    assert row.status == "CHECKING" and row.source_type == "buy", row.to_map()
    row = next(row for row in listed("CERT").certificate_order_list if row.certificate_id == int(issued.cert_id))
    assert row.common_name == "order-%s.example.com" % signature and len(row.end_date) == 10, row.to_map()
    first, second = (listed("CERT", show_size=1, current_page=page) for page in (1, 2))
    assert first.total_count == second.total_count >= 2 and first.show_size == 1 and second.current_page == 2
    ids = {page.certificate_order_list[0].certificate_id for page in (first, second)}
    assert len(ids) == 2, "two pages, two rows"


def get_user_certificate_detail(signature, issued):
    client = Client2020(config(signature))

    def detail(hidden):
        request = models_2020.GetUserCertificateDetailRequest(cert_id=int(issued.cert_id), cert_filter=hidden)
        return client.get_user_certificate_detail(request).body

    body = detail(False)
    assert (body.cert, body.key) == (issued.certificate, issued.private_key)
    assert body.common == body.sans == "order-%s.example.com" % signature, body.to_map()
    assert body.expired is False and body.buy_in_aliyun is True and body.not_after > body.not_before
    assert body.cert_chain[0].common_name == body.common and body.cert_chain[0].remain_day > 80
    body = detail(True)
    assert body.cert is None and body.key is None and body.id == int(issued.cert_id)
    check_id(body)


def instances(signature):
    client = Client2020(config(signature))
    apex = "example.com"
    instance = new_order("instance", "i-%s.%s" % (signature, apex), "*.i-%s.%s" % (signature, apex), renewal=True)
    request = models_2020.GetInstanceDetailRequest(instance_id=instance)

    def read():
        return client.get_instance_detail(request).body

    body = wait_for("challenges", read, lambda body: body.domain_validation_list)
    assert (body.status, body.certificate_status, body.validation_method) == ("pending", "issued", "DNS"), body.to_map()
    assert body.certificate_type == "DV" and body.full_domain_count == 1 and body.wildcard_domain_count == 1
    old = body.certificate_id
    assert len(body.domain_validation_list) == 2
    for validation in body.domain_validation_list:
        assert validation.root_domain == apex and validation.validation_type == "TXT", validation.to_map()
        assert validation.validation_key == "_dnsauth.i-%s" % signature, validation.to_map()
        publish(validation.validation_key + "." + validation.root_domain, validation.validation_value)
    task = client.get_task_attribute(models_2020.GetTaskAttributeRequest(task_id=instance, task_type="ApplyCertificate")).body
    assert task.task_status == "success", task.to_map()
    body = wait_for("the certificate", read, lambda body: body.status == "normal")
    assert body.certificate_status == "issued" and body.certificate_id != old, "the new certificate has its own id"
    assert not body.domain_validation_list, "the list is gone after the issue"
    check_id(body)
    certificate = client.get_user_certificate_detail(
        models_2020.GetUserCertificateDetailRequest(cert_id=body.certificate_id)
    ).body
    check_pair(certificate.cert, certificate.key)
    assert certificate.instance_id == instance

    listing = client.list_instances(models_2020.ListInstancesRequest(show_size=100, status="normal")).body
    row = next(row for row in listing.instance_list if row.instance_id == instance)
    assert row.domain == "i-%s.%s,*.i-%s.%s" % (signature, apex, signature, apex), row.to_map()
    assert listing.total_count == len(listing.instance_list)
    check_error(
        "a page of 101",
        lambda: client.list_instances(models_2020.ListInstancesRequest(show_size=101)),
        "InvalidParameter",
        400,
    )


def csr_for(*domains):
    """A key and a request for these names, made by another library than the program's."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domains[0])]))
    names = x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains])
    request = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    return key, request.public_bytes(serialization.Encoding.PEM).decode()


def check_key(certificate, key):
    leaf = x509.load_pem_x509_certificate(certificate.encode())
    assert leaf.public_key().public_numbers() == key.public_key().public_numbers(), "another key"


def apply_2018(signature):
    client = Client2018(config(signature))
    domain = "audit-%s.example.com" % signature
    instance = new_order("2018", "unused.example.com", submitted=False)
    request = models_2018.CreateDVOrderAuditRequest(
        instance_id=instance,
        domain=domain,
        domain_verify_type="DNS",
        username="Tom",
        email="tom@example.com",
        mobile="13900000000",
        province="Beijing",
        city="Beijing",
    )
    check_id(client.create_dvorder_audit(request).body)
    read = models_2018.DescribeDVOrderResultRequest(instance_id=instance)
    body = wait_for("a challenge", lambda: client.describe_dvorder_result(read).body, lambda body: body.check_value)
    assert body.check_name == "_dnsauth." + domain, body.to_map()
    check_error("twice", lambda: client.create_dvorder_audit(request), "OrderStateError", 403)


def apply_instance(signature):
    client = Client2020(config(signature))
    contact = client.list_contact(models_2020.ListContactRequest()).body.contact_list[0]

    def read(instance):
        return client.get_instance_detail(models_2020.GetInstanceDetailRequest(instance_id=instance)).body

    def update(instance, **more):
        client.update_instance(
            models_2020.UpdateInstanceRequest(instance_id=instance, contact_id_list=[contact.contact_id], validation_method="DNS", **more)
        )

    def submit(instance):
        return client.apply_certificate(models_2020.ApplyCertificateRequest(instance_id=instance)).body

    def task(instance):
        return client.get_task_attribute(models_2020.GetTaskAttributeRequest(task_id=instance)).body

    # The key stays with the owner of the request.
    domain = "apply-%s.example.com" % signature
    key, csr = csr_for(domain)
    instance = new_order("instance", "unused.example.com", submitted=False)
    assert read(instance).status == "inactive"
    update(instance, domain=domain, generate_csr_method="upload", csr=csr)
    assert read(instance).status == "inactive", "an update alone submits nothing"
    check_id(submit(instance))
    assert task(instance).task_status in ("processing", "success")
    body = wait_for("a challenge", lambda: read(instance), lambda body: body.domain_validation_list)
    assert body.domain == domain and body.status == "pending" and body.generate_csr_method == "upload", body.to_map()
    assert task(instance).task_status == "success"
    validation = body.domain_validation_list[0]
    publish(validation.validation_key + "." + validation.root_domain, validation.validation_value)
    body = wait_for("the certificate", lambda: read(instance), lambda body: body.status == "normal")
    detail = client.get_user_certificate_detail(
        models_2020.GetUserCertificateDetailRequest(cert_id=body.certificate_id)
    ).body
    check_key(detail.cert, key)
    assert detail.key is None, "the service has no key"
    client.revoke_certificate(
        models_2020.RevokeCertificateRequest(instance_id=instance, certificate_id=body.certificate_id)
    )
    assert read(instance).certificate_status == "revoked"

    # One that submits itself.
    eager = new_order("instance", "unused.example.com", submitted=False, auto_submit=True)
    update(eager, domain="eager-%s.example.com" % signature, key_algorithm="ECC_256")
    body = read(eager)
    assert (body.status, body.key_algorithm) == ("pending", "ECC_256"), body.to_map()
    check_error("once more", lambda: submit(eager), "OperationDenied.StatusNotSupport", 400)
    check_error("while pending", lambda: update(eager, domain="x.example.com"), "InvalidStatus.UpdateProtection", 400)
    # The withdrawal is asynchronous.
    client.cancel_pending_certificate(models_2020.CancelPendingCertificateRequest(instance_id=eager))
    assert read(eager).status == "pending"
    wait_for("the withdrawal", lambda: read(eager), lambda body: body.status == "inactive")
    client.refund_instance(models_2020.RefundInstanceRequest(instance_id=eager))
    assert read(eager).status == "refund"
    client.delete_instance(models_2020.DeleteInstanceRequest(instance_id=eager))
    check_error("deleted", lambda: read(eager), "NotFound", 404)

    # One whose task fails.
    failing = new_order("instance", "unused.example.com", submitted=False, task_failure="no CAA", challenge_delay_ms=0)
    update(failing, domain="failing-%s.example.com" % signature)
    submit(failing)
    body = task(failing)
    assert (body.task_status, body.task_message) == ("failed", "no CAA"), body.to_map()
    assert read(failing).status == "inactive"


def apply_package(signature):
    client = Client2020(config(signature))
    person = {"username": "Tom", "email": "tom@example.com", "phone": "13900000000", "validate_type": "DNS"}
    product = "symantec-dv-1-starter"

    def state(order):
        return client.describe_certificate_state(models_2020.DescribeCertificateStateRequest(order_id=order)).body

    def used():
        request = models_2020.DescribePackageStateRequest(product_code=product)
        return client.describe_package_state(request).body.used_count

    def issue(order):
        body = wait_for("a challenge", lambda: state(order), lambda body: body.record_value)
        publish(body.record_domain, body.record_value)
        return wait_for("the certificate", lambda: state(order), lambda body: body.type == "certificate")

    before = used()
    domain = "package-%s.example.com" % signature
    request = models_2020.CreateCertificateForPackageRequestRequest(product_code=product, domain=domain, **person)
    order = client.create_certificate_for_package_request(request).body.order_id
    assert isinstance(order, int) and used() == before + 1
    client.cancel_order_request(models_2020.CancelOrderRequestRequest(order_id=order))
    assert state(order).type == "payed"
    client.delete_certificate_request(models_2020.DeleteCertificateRequestRequest(order_id=order))
    check_error("deleted", lambda: state(order), "NotFoundOrder", 404)
    assert used() == before, "the quota is given back"

    order = client.create_certificate_for_package_request(request).body.order_id
    check_pair(issue(order).certificate, state(order).private_key)
    renewal = models_2020.RenewCertificateOrderForPackageRequestRequest(order_id=order)
    again = client.renew_certificate_order_for_package_request(renewal).body.order_id
    assert again != order and issue(again).certificate != state(order).certificate
    client.cancel_certificate_for_package_request(models_2020.CancelCertificateForPackageRequestRequest(order_id=order))
    row = next(
        row
        for row in client.list_user_certificate_order(
            models_2020.ListUserCertificateOrderRequest(order_type="CPACK", keyword=domain)
        ).body.certificate_order_list
        if row.order_id == order
    )
    assert row.status == "REVOKED", row.to_map()

    free = models_2020.CreateCertificateRequestRequest(domain="free-%s.example.com" % signature, **person)
    assert client.create_certificate_request(free).body.order_id
    key, csr = csr_for("csr-%s.example.com" % signature)
    with_csr = models_2020.CreateCertificateWithCsrRequestRequest(csr=csr, **person)
    body = issue(client.create_certificate_with_csr_request(with_csr).body.order_id)
    check_key(body.certificate, key)
    assert body.private_key is None

    wildcard = models_2020.CreateCertificateForPackageRequestRequest(product_code=product, domain="*.example.com", **person)
    check_error("a wildcard", lambda: client.create_certificate_for_package_request(wildcard), "DomainAndProductNotMatch", 400)
    http("POST", CONTROL + "/faults", {"fault": "package", "product": "used-up", "left": 0})
    none = models_2020.CreateCertificateForPackageRequestRequest(product_code="used-up", domain=domain, **person)
    check_error("used up", lambda: client.create_certificate_for_package_request(none), "NotRemainCount", 404)


def deployment(signature):
    client = Client2020(config(signature))
    domain = "deploy-%s.example.com" % signature
    http("POST", CONTROL + "/faults", {"fault": "cloud-resource", "product": "CDN", "domain": domain})
    http("POST", CONTROL + "/faults", {"fault": "cloud-resource", "product": "ALB", "domain": domain, "fails": True})

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    today = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(today)
    builder = builder.not_valid_after(today + datetime.timedelta(days=30))
    leaf = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    def upload(key, token):
        request = models_2020.UploadUserCertificateRequest(
            name=domain, cert=leaf.public_bytes(serialization.Encoding.PEM).decode(), key=key, client_token=token
        )
        return client.upload_user_certificate(request).body

    certificate = upload(pem, "token-" + signature)
    assert certificate.cert_id and certificate.resource_id, certificate.to_map()
    assert upload(pem, "token-" + signature).cert_id == certificate.cert_id, "the token makes it the same"
    check_error("the name twice", lambda: upload(pem, "another"), "NameAlreadyExist", 400)
    uploads = models_2020.ListUserCertificateOrderRequest(order_type="UPLOAD", keyword=domain)
    row = client.list_user_certificate_order(uploads).body.certificate_order_list[0]
    sha256 = leaf.fingerprint(hashes.SHA256()).hex()
    assert row.certificate_id == certificate.cert_id and row.sha_2.lower() == sha256 and row.upload is True, row.to_map()

    found = client.list_cloud_resources(models_2020.ListCloudResourcesRequest(keyword=domain)).body
    assert found.total == 2 and {row.cloud_product for row in found.data} == {"CDN", "ALB"}, found.to_map()
    ids = ",".join(str(row.id) for row in found.data)
    request = models_2020.CreateDeploymentJobRequest(
        name="job-" + signature, job_type="user", cert_ids=str(certificate.cert_id), resource_ids=ids, contact_ids="1"
    )
    job = client.create_deployment_job(request).body.job_id

    def read():
        return client.describe_deployment_job(models_2020.DescribeDeploymentJobRequest(job_id=job)).body

    assert read().status == "editing", "a new job does nothing"
    listed = client.list_deployment_job(models_2020.ListDeploymentJobRequest(cert_id=certificate.cert_id)).body
    assert [(row.id, row.name) for row in listed.data] == [(job, "job-" + signature)], listed.to_map()
    client.update_deployment_job_status(models_2020.UpdateDeploymentJobStatusRequest(job_id=job, status="pending"))
    assert wait_for("the end of the job", read, lambda body: body.status in ("success", "error")).status == "error"
    counts = client.describe_deployment_job_status(models_2020.DescribeDeploymentJobStatusRequest(job_id=job)).body
    assert (counts.success_count, counts.failed_count) == (1, 1), counts.to_map()
    workers = client.list_worker_resource(models_2020.ListWorkerResourceRequest(job_id=job)).body
    assert {(row.cloud_product, row.status) for row in workers.data} == {("CDN", "success"), ("ALB", "error")}, workers.to_map()
    found = client.list_cloud_resources(models_2020.ListCloudResourcesRequest(keyword=domain)).body
    assert {row.cloud_product: row.cert_id for row in found.data} == {"CDN": certificate.cert_id, "ALB": 0}, found.to_map()


def errors(signature):
    unknown_2018 = models_2018.DescribeDVOrderResultRequest(instance_id="cas-cn-unknown")
    unknown_order = models_2020.DescribeCertificateStateRequest(order_id=1)
    unknown_instance = models_2020.GetInstanceDetailRequest(instance_id="cas_dv-cn-unknown")
    good = config(signature)
    check_error("2018", lambda: Client2018(good).describe_dvorder_result(unknown_2018), "NotFoundOrder", 404)
    check_error("order", lambda: Client2020(good).describe_certificate_state(unknown_order), "NotFoundOrder", 404)
    check_error("instance", lambda: Client2020(good).get_instance_detail(unknown_instance), "NotFound", 404)
    empty = models_2020.GetInstanceDetailRequest()
    check_error("no id", lambda: Client2020(good).get_instance_detail(empty), "MissingParameter", 400)

    wrong = config(signature, "wrong")
    error = check_error(
        "a wrong secret", lambda: Client2020(wrong).get_instance_detail(unknown_instance), "SignatureDoesNotMatch", 400
    )
    assert "server string to sign is:" in error.message, error.message
    stranger = config(signature)
    stranger.access_key_id = "nobody"
    check_error(
        "an unknown key",
        lambda: Client2020(stranger).get_instance_detail(unknown_instance),
        "InvalidAccessKeyId.NotFound",
        404,
    )
    http(
        "POST",
        CONTROL + "/faults",
        {"fault": "calls", "service": "cas", "action": "GetInstanceDetail", "times": 1, "answer": {"kind": "throttle"}},
    )
    check_error("throttling", lambda: Client2020(good).get_instance_detail(unknown_instance), "Throttling.User", 400)


def main():
    for signature in ("v1", "v3"):
        instance = describe_dv_order_result(signature)
        print(signature, "DescribeDVOrderResult")
        describe_order_instance_list(signature, instance)
        print(signature, "DescribeOrderInstanceList")
        order, bought, issued = describe_certificate_state(signature)
        print(signature, "DescribeCertificateState")
        instances(signature)
        print(signature, "GetInstanceDetail ListInstances GetTaskAttribute")
        list_user_certificate_order(signature, order, bought, issued)
        print(signature, "ListUserCertificateOrder")
        get_user_certificate_detail(signature, issued)
        print(signature, "GetUserCertificateDetail")
        apply_2018(signature)
        print(signature, "CreateDVOrderAudit")
        apply_instance(signature)
        print(
            signature,
            "UpdateInstance ApplyCertificate CancelPendingCertificate RevokeCertificate RefundInstance DeleteInstance ListContact",
        )
        apply_package(signature)
        print(
            signature,
            "CreateCertificateForPackageRequest CreateCertificateRequest CreateCertificateWithCsrRequest CancelOrderRequest "
            "DeleteCertificateRequest CancelCertificateForPackageRequest RenewCertificateOrderForPackageRequest DescribePackageState",
        )
        deployment(signature)
        print(
            signature,
            "UploadUserCertificate ListCloudResources CreateDeploymentJob UpdateDeploymentJobStatus ListDeploymentJob "
            "DescribeDeploymentJob DescribeDeploymentJobStatus ListWorkerResource",
        )
        errors(signature)
        print(signature, "errors")
    calls = http("GET", CONTROL + "/state")["calls"]
    assert len(calls) == 32, calls


main()
