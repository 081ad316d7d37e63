//! The vendor's own deployment: resources of the account, and the jobs that put certificates there.

use super::{Cas, call::Call, failure, order_2020::VERSION, reply::Fields, words};
use crate::error::{Error, Result};

const RESOURCES: &str = "ListCloudResources";
const CREATE: &str = "CreateDeploymentJob";
const JOBS: &str = "ListDeploymentJob";
const JOB: &str = "DescribeDeploymentJob";
const WORKERS: &str = "ListWorkerResource";

/// How many rows of a list are asked for; no maximum is documented.
const PAGE_SIZE: u64 = 50;

/// Something that can hold a certificate: a domain of a CDN, a listener of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudResource {
    /// Its id in the certificate service.
    pub id: u64,
    /// Whose cloud it is in (`aliyun`, `Tencent` …).
    pub cloud: String,
    /// The service that it belongs to (`CDN`, `ALB` …).
    pub product: String,
    /// Its region, where the service tells one.
    pub region: Option<String>,
    /// The domain that it serves, where the service tells one.
    pub domain: Option<String>,
    /// Its instance, where the service tells one.
    pub instance: Option<String>,
    /// The certificate that it has now.
    pub certificate: Option<u64>,
    /// Whether HTTPS is on there, where the service tells that.
    pub has_https: Option<bool>,
}

impl CloudResource {
    /// Whether it is one of Alibaba Cloud's own.
    pub fn is_own_cloud(&self) -> bool {
        self.cloud.is_empty() || self.cloud.eq_ignore_ascii_case("aliyun")
    }
}

/// A job that puts a certificate on resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub stage: Stage,
}

/// How far a job, or what it does to one resource, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Made, and not told to begin.
    Editing,
    /// Under way; also where the word is not known.
    Underway(String),
    /// Done.
    Done,
    /// Failed, at least in part.
    Failed,
}

impl Stage {
    fn of(word: &str) -> Self {
        match words::normalized(word).as_str() {
            "editing" => Self::Editing,
            "success" => Self::Done,
            "error" | "failed" | "fail" => Self::Failed,
            _ => Self::Underway(word.to_owned()),
        }
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }

    /// The word of the service.
    pub fn word(&self) -> &str {
        match self {
            Self::Editing => "editing",
            Self::Underway(word) => word,
            Self::Done => "success",
            Self::Failed => "error",
        }
    }
}

/// What a job does to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The resource: its `ResourceId`, where the service tells it.
    pub resource: Option<u64>,
    /// The service that it belongs to.
    pub product: String,
    /// The domain, or the instance, that it is known by.
    pub called: String,
    /// How far it is.
    pub stage: Stage,
    /// What the service says about it, where it says something.
    pub message: Option<String>,
}

/// Why there is no job.
#[derive(Debug)]
pub enum NotCreated {
    /// The service did nothing.
    Refused(Error),
    /// It is not known whether the service made one.
    Unknown(Error),
}

impl Cas {
    /// All resources of the account that can hold a certificate.
    ///
    /// # Errors
    /// Of the service.
    pub async fn resources(&self) -> Result<Vec<CloudResource>> {
        Ok(self.rows(&Call::new(RESOURCES, VERSION), RESOURCES).await?.iter().filter_map(resource).collect())
    }

    /// The jobs for a certificate, as the service lists them.
    ///
    /// # Errors
    /// Of the service.
    pub async fn jobs(&self, certificate: u64) -> Result<Vec<Job>> {
        let call = Call::new(JOBS, VERSION).with("CertId", certificate);
        Ok(self.rows(&call, JOBS).await?.iter().filter_map(job).collect())
    }

    /// Makes a job, which does nothing until it is begun. Called twice it makes two: look for it first.
    ///
    /// # Errors
    /// [`NotCreated`] says whether one may have been made all the same.
    pub async fn create_job(
        &self,
        name: &str,
        certificate: u64,
        to: &[CloudResource],
        contacts: &[u64],
    ) -> Result<u64, NotCreated> {
        let ids = |ids: &mut dyn Iterator<Item = u64>| ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        let kind = if to.iter().all(CloudResource::is_own_cloud) { "user" } else { "cloud" };
        let call = Call::new(CREATE, VERSION)
            .with("Name", name)
            .with("JobType", kind)
            .with("CertIds", certificate)
            .with("ResourceIds", ids(&mut to.iter().map(|resource| resource.id)))
            .with("ContactIds", ids(&mut contacts.iter().copied()));
        let unless_unknown = |error: Error| {
            if failure::is_outcome_unknown(&error) { NotCreated::Unknown(error) } else { NotCreated::Refused(error) }
        };
        let reply = self.client.submit(&call).await.map_err(unless_unknown)?;
        reply.number("JobId").ok_or_else(|| NotCreated::Unknown(reply.lacks(CREATE, "JobId")))
    }

    /// Lets a job begin.
    ///
    /// # Errors
    /// Of the service.
    pub async fn begin_job(&self, id: u64) -> Result<()> {
        let call = Call::new("UpdateDeploymentJobStatus", VERSION).with("JobId", id).with("Status", "pending");
        self.client.call(&call).await.map(|_| ())
    }

    /// One job.
    ///
    /// # Errors
    /// Of the service.
    pub async fn job(&self, id: u64) -> Result<Job> {
        let reply = self.client.call(&Call::new(JOB, VERSION).with("JobId", id)).await?;
        let status = reply.text("Status").ok_or_else(|| reply.lacks(JOB, "Status"))?;
        Ok(Job { id, name: reply.text("Name").unwrap_or_default(), stage: Stage::of(&status) })
    }

    /// What a job does to each resource.
    ///
    /// # Errors
    /// Of the service.
    pub async fn workers(&self, job: u64) -> Result<Vec<Worker>> {
        Ok(self.rows(&Call::new(WORKERS, VERSION).with("JobId", job), WORKERS).await?.iter().map(worker).collect())
    }

    /// The rows of all pages of a list of this family.
    async fn rows(&self, call: &Call, action: &'static str) -> Result<Vec<Fields>> {
        let mut all: Vec<Fields> = Vec::new();
        for number in 1.. {
            let call = Call { action, version: call.version, order: None, parameters: call.parameters.clone() }
                .with("CurrentPage", number)
                .with("ShowSize", PAGE_SIZE);
            let page = self.client.call(&call).await?;
            let rows = page.rows("Data");
            let is_last = rows.is_empty() || page.number("Total").is_some_and(|total| (all.len() + rows.len()) as u64 >= total);
            all.extend(rows);
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

fn resource(row: &Fields) -> Option<CloudResource> {
    Some(CloudResource {
        id: row.number("Id")?,
        cloud: row.text("CloudName").unwrap_or_default(),
        product: row.text("CloudProduct").unwrap_or_default(),
        region: row.text("RegionId").or_else(|| row.text("CloudRegion")),
        domain: row.text("Domain"),
        instance: row.text("InstanceId"),
        certificate: row.number("CertId").filter(|id| *id != 0),
        has_https: row.number("EnableHttps").map(|flag| flag != 0),
    })
}

fn job(row: &Fields) -> Option<Job> {
    let stage = Stage::of(&row.text("Status").unwrap_or_default());
    Some(Job { id: row.number("Id")?, name: row.text("Name").unwrap_or_default(), stage })
}

fn worker(row: &Fields) -> Worker {
    let called = ["ResourceDomain", "CertDomain", "InstanceId", "ResourceId"].into_iter().find_map(|field| row.text(field));
    Worker {
        resource: row.number("ResourceId"),
        product: row.text("CloudProduct").unwrap_or_default(),
        called: called.unwrap_or_default(),
        stage: Stage::of(&row.text("Status").unwrap_or_default()),
        // Not in the vendor's description; shown where it comes.
        message: ["ErrorMessage", "Message", "Remark"].into_iter().find_map(|field| row.text(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_jobs_are_known_and_others_are_waited_out() {
        assert_eq!(Stage::of("editing"), Stage::Editing);
        assert_eq!(Stage::of("SUCCESS"), Stage::Done);
        assert_eq!(Stage::of("error"), Stage::Failed);
        for word in ["pending", "scheduling", "processing", "something-new"] {
            assert!(!Stage::of(word).is_over(), "{word}");
        }
    }

    #[test]
    fn resources_and_workers_are_read_with_what_may_be_missing() {
        let row = r#"{"Id":"7","CloudName":"aliyun","CloudProduct":"CDN","Domain":"cdn.example.com","CertId":0,"EnableHttps":0}"#;
        let read = resource(&Fields::of_json(row)).unwrap();
        assert_eq!((read.id, read.certificate, read.has_https), (7, None, Some(false)));
        assert!(read.is_own_cloud());
        assert!(resource(&Fields::of_json(r#"{"CloudProduct":"CDN"}"#)).is_none());
        let read = worker(&Fields::of_json(r#"{"Id":1,"ResourceId":7,"ResourceDomain":"cdn.example.com","Status":"error"}"#));
        assert_eq!((read.resource, read.called.as_str(), read.stage), (Some(7), "cdn.example.com", Stage::Failed));
    }
}
