//! Version 2020-04-07: certificates from elsewhere, cloud resources, and the jobs that bring one to the other.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rcgen::{KeyPair, PublicKeyData as _};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

use super::{call::Call, failure::Failure, orders2020::Page, reply::Fields};
use crate::sandbox::{World, locked, orders::OrderBook};

/// The first id of an uploaded certificate, of a resource, and of a job.
const FIRST: [u64; 3] = [30_000_001, 501, 9001];

/// What was uploaded, and what was deployed where.
#[derive(Default)]
pub(in crate::sandbox) struct Deployments {
    uploaded: BTreeMap<u64, Uploaded>,
    resources: Vec<Resource>,
    jobs: Vec<Job>,
}

struct Uploaded {
    name: String,
    token: Option<String>,
    common_name: String,
    names: Vec<String>,
    sha1: String,
    sha256: String,
}

struct Resource {
    id: u64,
    product: String,
    domain: String,
    fails: bool,
    certificate: Option<u64>,
}

struct Job {
    id: u64,
    name: String,
    kind: String,
    certificate: u64,
    resources: Vec<u64>,
    /// The word that was set; `pending` has a time.
    status: String,
    begun: Option<Instant>,
    done: bool,
}

impl Deployments {
    /// One more resource of the account; where it `fails`, no deployment reaches it.
    pub(in crate::sandbox) fn add_resource(&mut self, product: &str, domain: &str, fails: bool) {
        let id = FIRST[1] + self.resources.len() as u64;
        let (product, domain) = (product.to_owned(), domain.to_owned());
        self.resources.push(Resource { id, product, domain, fails, certificate: None });
    }

    /// Ends the jobs that have had their time.
    fn advance(&mut self, now: Instant, takes: Duration) {
        for job in self.jobs.iter_mut().filter(|job| !job.done && job.begun.is_some_and(|begun| begun + takes <= now)) {
            job.done = true;
            let mut has_failed = false;
            for resource in self.resources.iter_mut().filter(|resource| job.resources.contains(&resource.id)) {
                has_failed |= resource.fails;
                if !resource.fails {
                    resource.certificate = Some(job.certificate);
                }
            }
            if has_failed { "error" } else { "success" }.clone_into(&mut job.status);
        }
    }

    fn job(&self, call: &Call) -> Result<&Job, Failure> {
        let id = call.number("JobId")?.ok_or_else(|| Failure::missing("JobId"))?;
        self.jobs.iter().find(|job| job.id == id).ok_or_else(|| Failure::not_found("deployment job"))
    }
}

/// Answers the calls of this family; `None` for all others.
pub(super) fn answer(world: &World, orders: &OrderBook, call: &Call, now: Instant) -> Option<Result<Fields, Failure>> {
    if call.version != "2020-04-07" {
        return None;
    }
    let mut all = locked(&world.deployments);
    all.advance(now, world.options.issue_delay);
    Some(match call.action.as_str() {
        "UploadUserCertificate" => upload(&mut all, call),
        "ListUserCertificateOrder" if call.get("OrderType") == Some("UPLOAD") => list_uploaded(&all, call),
        "GetUserCertificateDetail" => {
            let id = call.get("CertId").and_then(|id| id.parse().ok()).unwrap_or_default();
            let uploaded = all.uploaded.get(&id)?;
            Ok(fields(json!({
                "Id": id, "Name": uploaded.name, "Common": uploaded.common_name, "Sans": uploaded.names.join(","),
                "Expired": false, "BuyInAliyun": false,
            })))
        }
        "ListCloudResources" => list_cloud_resources(&all, call),
        "CreateDeploymentJob" => create_job(&mut all, orders, call),
        "UpdateDeploymentJobStatus" => update_job_status(&mut all, call, now),
        "ListDeploymentJob" => list_jobs(&all, call),
        "DescribeDeploymentJob" => all.job(call).map(|job| fields(row_of(job))),
        "DescribeDeploymentJobStatus" => all.job(call).map(|job| {
            let of_job = all.resources.iter().filter(|resource| job.resources.contains(&resource.id));
            let failed = of_job.filter(|resource| job.done && resource.fails).count();
            let success = if job.done { job.resources.len() - failed } else { 0 };
            fields(json!({"CertCount": 1, "ResourceCount": job.resources.len(), "WorkerCount": job.resources.len(),
                "FailedCount": failed, "SuccessCount": success}))
        }),
        "ListWorkerResource" => list_workers(&all, call),
        _ => return None,
    })
}

fn upload(all: &mut Deployments, call: &Call) -> Result<Fields, Failure> {
    let (name, certificate, key) = (call.require("Name")?, call.require("Cert")?, call.require("Key")?);
    let token = call.get("ClientToken").map(str::to_owned);
    let same = all.uploaded.iter().find(|(_, known)| token.is_some() && known.token == token);
    if let Some((id, _)) = same {
        return Ok(fields(json!({"CertId": id})));
    }
    if name.chars().count() > 63 || all.uploaded.values().any(|known| known.name == name) {
        return Err(Failure::new(400, "NameAlreadyExist", "The name of the certificate already exists."));
    }
    let malformed = || Failure::new(400, "CertificateFormatException", "The certificate is malformed.");
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| malformed())?;
    let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&der).map_err(|_| malformed())?;
    let fits = KeyPair::from_pem(key).is_ok_and(|key| key.subject_public_key_info() == leaf.public_key().raw);
    if !fits {
        return Err(Failure::new(400, "KeyNotMatchCert", "The private key does not match the certificate."));
    }
    let names: Vec<String> = leaf
        .subject_alternative_name()
        .ok()
        .flatten()
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None })
        .collect();
    let id = FIRST[0] + all.uploaded.len() as u64;
    let hex = |algorithm| data_encoding::HEXUPPER.encode(digest(algorithm, &der).as_ref());
    let uploaded = Uploaded {
        name: name.to_owned(),
        token,
        common_name: names.first().cloned().unwrap_or_default(),
        names,
        sha1: hex(&SHA1_FOR_LEGACY_USE_ONLY),
        sha256: hex(&SHA256),
    };
    all.uploaded.insert(id, uploaded);
    Ok(fields(json!({"CertId": id, "ResourceId": format!("cas-upload-{id}")})))
}

fn list_uploaded(all: &Deployments, call: &Call) -> Result<Fields, Failure> {
    let keyword = call.get("Keyword").unwrap_or_default();
    let shown = all.uploaded.iter().filter(|(_, uploaded)| uploaded.names.iter().any(|name| name.contains(keyword)));
    let row = |(id, uploaded): (&u64, &Uploaded)| {
        json!({"CertificateId": id, "Name": uploaded.name, "CommonName": uploaded.common_name, "Sans": uploaded.names.join(","),
            "Fingerprint": uploaded.sha1, "Sha2": uploaded.sha256, "Upload": true, "Expired": false})
    };
    Ok(Page::read(call, 50, None)?.fields("CertificateOrderList", shown, row))
}

/// Lists of this family have their rows in `Data`, and their length in `Total`.
fn page<T>(call: &Call, size: usize, items: impl Iterator<Item = T>, row: impl Fn(T) -> Value) -> Result<Fields, Failure> {
    let mut fields = Page::read(call, size, None)?.fields("Data", items, row);
    if let Some(total) = fields.remove("TotalCount") {
        fields.insert("Total".to_owned(), total);
    }
    Ok(fields)
}

fn list_cloud_resources(all: &Deployments, call: &Call) -> Result<Fields, Failure> {
    let keyword = call.get("Keyword").unwrap_or_default();
    let is_shown = |resource: &&Resource| {
        resource.domain.contains(keyword) && call.get("CloudProduct").is_none_or(|product| product == resource.product)
    };
    page(call, 20, all.resources.iter().filter(is_shown), |resource| {
        json!({"Id": resource.id, "CloudName": "aliyun", "CloudProduct": resource.product, "Domain": resource.domain,
            "RegionId": "cn-hangzhou", "EnableHttps": u8::from(!resource.fails), "UseSsl": u8::from(resource.certificate.is_some()),
            "CertId": resource.certificate.unwrap_or_default(), "Status": "online"})
    })
}

fn create_job(all: &mut Deployments, orders: &OrderBook, call: &Call) -> Result<Fields, Failure> {
    let (name, kind) = (call.require("Name")?.to_owned(), call.require("JobType")?.to_owned());
    if !["user", "cloud"].contains(&kind.as_str()) {
        return Err(Failure::invalid("JobType", "is not valid"));
    }
    call.require("ContactIds")?;
    let ids = |parameter: &str| -> Result<Vec<u64>, Failure> {
        let invalid = |_| Failure::invalid(parameter, "is not valid");
        call.require(parameter)?.split(',').map(|id| id.parse().map_err(invalid)).collect()
    };
    let (certificates, resources) = (ids("CertIds")?, ids("ResourceIds")?);
    let is_there = |id: &u64| orders.certificate(*id).is_some() || all.uploaded.contains_key(id);
    let Some(certificate) = certificates.first().copied().filter(|_| certificates.iter().all(is_there)) else {
        return Err(Failure::not_found("certificate"));
    };
    if !resources.iter().all(|id| all.resources.iter().any(|resource| resource.id == *id)) {
        return Err(Failure::not_found("resource"));
    }
    let id = FIRST[2] + all.jobs.len() as u64;
    // It does nothing until somebody sets it to `pending`.
    all.jobs.push(Job { id, name, kind, certificate, resources, status: "editing".to_owned(), begun: None, done: false });
    Ok(fields(json!({"JobId": id})))
}

fn update_job_status(all: &mut Deployments, call: &Call, now: Instant) -> Result<Fields, Failure> {
    let id = all.job(call)?.id;
    let status = call.require("Status")?;
    if !["pending", "scheduling", "editing"].contains(&status) {
        return Err(Failure::invalid("Status", "is not valid"));
    }
    if let Some(job) = all.jobs.iter_mut().find(|job| job.id == id && !job.done) {
        status.clone_into(&mut job.status);
        job.begun = (status == "pending").then_some(now);
    }
    Ok(Fields::new())
}

fn list_jobs(all: &Deployments, call: &Call) -> Result<Fields, Failure> {
    let certificate = call.number("CertId")?;
    let shown = all.jobs.iter().filter(|job| certificate.is_none_or(|id| id == job.certificate));
    page(call, 50, shown, row_of)
}

fn row_of(job: &Job) -> Value {
    json!({"Id": job.id, "Name": job.name, "JobType": job.kind, "Status": job.status, "ProductName": "CDN", "Del": 0, "Rollback": 0})
}

fn list_workers(all: &Deployments, call: &Call) -> Result<Fields, Failure> {
    let job = all.job(call)?;
    let of_job = all.resources.iter().filter(|resource| job.resources.contains(&resource.id));
    page(call, 20, of_job, |resource| {
        let status = match (job.done, resource.fails) {
            (true, true) => "error",
            (true, false) => "success",
            (false, _) => job.status.as_str(),
        };
        json!({"Id": job.id * 1000 + resource.id, "JobId": job.id, "ResourceId": resource.id, "ResourceDomain": resource.domain,
            "CloudName": "aliyun", "CloudProduct": resource.product, "CertId": job.certificate, "Status": status})
    })
}

fn fields(value: Value) -> Fields {
    value.as_object().cloned().unwrap_or_default()
}
